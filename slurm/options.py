"""How a launch uses an executor: what a command and its sweep ask for, and what each job gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from pydantic import BaseModel, ConfigDict

from slurm.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What an executor gives one job. ``minutes`` is the time limit; ``setup`` are shell lines before the job."""

    minutes: int
    nodes: int = 1
    gpus_per_node: int = 0
    processes_per_node: int = 1
    cpus_per_process: int = 1
    setup: tuple[str, ...] = ()
    python: str | None = None

    @property
    def processes(self) -> int:
        return self.nodes * self.processes_per_node

    @property
    def gpus(self) -> int:
        return self.nodes * self.gpus_per_node

    def describe(self) -> str:
        """Return the resources in a few words, such as ``4 nodes with 8 GPUs each, 48 h``."""
        count, unit = (self.gpus_per_node, "GPU") if self.gpus_per_node else (self.processes_per_node, "process")
        what = f"{count} {unit}" if count == 1 else f"{count} {'GPUs' if unit == 'GPU' else 'processes'}"
        where = what if self.nodes == 1 else f"{self.nodes} nodes with {what} each"
        return f"{where}, {self.minutes / 60:g} h" if self.minutes >= 60 else f"{where}, {self.minutes} min"


class Document(Protocol):
    """A value read from YAML; ``where`` returns file and line of a key in it."""

    @property
    def data(self) -> Any: ...

    def where(self, path: tuple[str | int, ...]) -> str: ...


@dataclass(frozen=True)
class Request:
    """What a command line and its sweep say about how to run jobs; an executor's ``Options`` are read from it.

    Parameters
    ----------
    load_yaml
        Reads a YAML file.
    workers, cluster
        ``--workers`` and ``--cluster``; None if not given.
    sweep_cluster
        ``cluster:`` of the sweep, a name or a whole profile; None without one.
    stages
        Names of stages that options may mention.
    cpus
        Number of processors that this process may use.
    """

    load_yaml: Callable[[Path], Document]
    workers: int | None = None
    cluster: str | None = None
    sweep_cluster: str | Document | None = None
    stages: tuple[str, ...] = ()
    cpus: int = 1


class ExecutorOptions(BaseModel):
    """How one launch uses an executor. An executor with something to choose derives its ``Options`` from this class."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    takes_cluster: ClassVar[bool] = False
    """Whether the options are a cluster's profile, which ``cluster:`` of a sweep and ``--cluster`` name."""

    @classmethod
    def read(cls, request: Request) -> Self:
        """Return the options that a command and its sweep ask for.

        Raises
        ------
        InputError
            An option is missing or wrong, or was typed and is not for this executor.
        """
        if request.cluster is not None:
            raise InputError(f"--cluster {request.cluster}: goes with --executor slurm")
        return cls()

    @classmethod
    def profile_names(cls) -> tuple[str, ...]:
        """Return the names that ``cluster:`` and ``--cluster`` may give."""
        return ()

    def resources(self, stage: str) -> Resources | None:
        """Return what a job of ``stage`` gets; None if it shares this machine, without a time limit."""
        return None

    def summary(self) -> str:
        """Return the options in a few words, such as ``2 at a time``."""
        return ""


@dataclass(frozen=True)
class Code:
    """The code that jobs import.

    Parameters
    ----------
    packages
        Top-level packages that an executor may copy at submission.
    files
        Returns the text of further files to put beside the copied packages, by name.
    preload
        Modules that most jobs import; an executor that forks jobs may import them once.
    """

    packages: tuple[str, ...] = ()
    files: Callable[[], Mapping[str, str]] = dict
    preload: tuple[str, ...] = ()
