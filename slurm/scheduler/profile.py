"""Cluster profiles: the resources that each stage of work requests, and the settings of the site."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    model_validator,
)

from slurm.errors import InputError

HOURS_OF_A_YEAR = 8784
MOST = 1_000_000
"""Upper bound of nodes, GPUs, processes, processors and jobs: more than any cluster has."""
_TIME = re.compile(r"((?P<days>\d{1,3})-)?(?P<hours>\d{1,4})(:(?P<minutes>[0-5]?\d))?(:(?P<seconds>[0-5]?\d))?")


def read_hours(value: Any) -> Any:
    """Convert a time to hours: 1:30 and 1:30:00 are 1.5 hours, 1-12:00:00 is 36 hours."""
    if not isinstance(value, str):
        return value
    found = _TIME.fullmatch(value)
    if found is None or not (found["days"] or found["minutes"]):
        raise ValueError("write hours as a number (1.5), as hours:minutes (1:30) or as days-hours:minutes (1-12:00)")
    days, hours, minutes, seconds = (int(found[part] or 0) for part in ("days", "hours", "minutes", "seconds"))
    return 24 * days + hours + minutes / 60 + seconds / 3600


Integer = Annotated[int, Strict()]
Count = Annotated[Integer, Field(gt=0, le=MOST)]
Switch = Annotated[bool, Strict()]
Hours = Annotated[
    Annotated[float, Strict(), Field(gt=0, le=HOURS_OF_A_YEAR, allow_inf_nan=False)], BeforeValidator(read_hours)
]
OneLine = Annotated[str, Field(pattern=r"^[^\n\r]+$")]
OURS = (
    *("array", "dependency", "error", "export", "job-name", "kill-on-invalid-dep", "open-mode", "output"),
    *("parsable", "signal", "test-only", "wait", "wrap", "chdir", "ntasks", "gpus", "gpus-per-task"),
)
"""Flags of sbatch that opera-bench sets itself."""
KEYS = {
    **{flag: flag for flag in ("partition", "account", "qos", "constraint", "nodes", "requeue")},
    "no-requeue": "requeue",
    "time": "hours",
    "mem": "memory_gb_per_node",
    "gpus-per-node": "gpus_per_node",
    "ntasks-per-node": "processes_per_node",
    "cpus-per-task": "cpus_per_gpu",
}
"""Flags of sbatch and the profile's key that sets each of them."""


def _check_flag(name: str) -> str:
    if name in OURS:
        raise ValueError(f"{name} is set by opera-bench itself")
    if name in KEYS:
        raise ValueError(f"{name} has a key of its own, {KEYS[name]}")
    return name


Flag = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$"), AfterValidator(_check_flag)]


def _with_minutes(flags: Any) -> Any:
    """Return the sbatch flags with ``time-min`` in minutes: sbatch itself reads 1:30 as 90 seconds."""
    if not isinstance(flags, dict) or "time-min" not in flags:
        return flags
    value = flags["time-min"]
    minutes = 60 * read_hours(value) if isinstance(value, str) else value
    if isinstance(minutes, bool) or not isinstance(minutes, int | float) or minutes < 1 or minutes != round(minutes):
        raise ValueError(f"time-min: write whole minutes (90), 1:30 or 1-12:00:00, not {value!r}")
    return {**flags, "time-min": round(minutes)}


class StageResources(BaseModel):
    """What one job of a stage asks for. What a stage leaves out it takes from the cluster."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    partition: OneLine | None = None
    account: OneLine | None = None
    qos: OneLine | None = None
    constraint: OneLine | None = None
    nodes: Count | None = None
    gpus_per_node: Integer | None = Field(
        default=None, ge=0, le=MOST, description="one process runs per GPU; with 0, processes_per_node on the processor"
    )
    processes_per_node: Count | None = Field(default=None, description="only where gpus_per_node is 0")
    cpus_per_gpu: Count | None = Field(default=None, description="processors of each process, with or without a GPU")
    memory_gb_per_node: Annotated[float, Strict()] | None = Field(
        default=None, ge=0.01, le=MOST, allow_inf_nan=False, description="GiB"
    )
    hours: Hours | None = Field(default=None, description="time limit of one attempt: 1.5, or 1:30, or 1-12:00")
    max_concurrent: Count | None = Field(default=None, description="jobs of one array that run at the same time")
    sbatch: Annotated[
        dict[Flag, OneLine | Integer | Annotated[float, Strict()] | Switch] | None, BeforeValidator(_with_minutes)
    ] = Field(default=None, description="further sbatch flags without their dashes, e.g. {exclusive: true}")
    setup: tuple[str, ...] | None = Field(default=None, description="shell lines before the job, e.g. module load cuda")
    python: OneLine | None = Field(
        default=None, description="the interpreter that runs the job; the submitting one by default"
    )


class ClusterProfile(StageResources):
    """One cluster. Its own fields are the defaults of every stage; ``stages`` says what differs by stage."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    description: str = ""
    requeue: Switch = Field(
        default=True, description="whether a job that reaches its time limit, is preempted or loses its node goes on"
    )
    seconds_before_limit: Annotated[Integer, Field(ge=30, le=3600 * HOURS_OF_A_YEAR)] = Field(
        default=120, description="how long before its time limit a job is told to save its state"
    )
    max_array_size: Count | None = Field(default=None, description="read from the cluster when left out")
    max_submitted_jobs: Count | None = Field(default=None, description="read from the cluster when left out")
    stages: dict[str, StageResources] = Field(
        default={}, description="by stage: pretrain, or an evaluator's name (linear, finetune, …)"
    )

    @model_validator(mode="after")
    def _check_hours(self) -> Self:
        parts: dict[str, StageResources] = {"": self, **{f"stages.{name}: ": s for name, s in self.stages.items()}}
        for place, part in parts.items():
            if part.hours is not None and 60 * _minutes(part.hours) <= self.seconds_before_limit:
                raise ValueError(
                    f"{place}hours: {part.hours:g} ({60 * part.hours:g} min) must be longer than seconds_before_limit: "
                    f"{self.seconds_before_limit} ({self.seconds_before_limit / 60:g} min), when a job is told to save "
                    "its state"
                )
        return self

    def resources(self, stage: str) -> Resources:
        """Return the resources of a job of ``stage``, with all defaults filled in."""
        own = self.stages.get(stage, StageResources())

        def chosen(field: str, default: Any = None) -> Any:
            value = getattr(own, field)
            value = getattr(self, field) if value is None else value
            return default if value is None else value

        gpus = chosen("gpus_per_node", 0)
        return Resources(
            partition=chosen("partition"),
            account=chosen("account"),
            qos=chosen("qos"),
            constraint=chosen("constraint"),
            nodes=chosen("nodes", 1),
            gpus_per_node=gpus,
            processes_per_node=gpus or chosen("processes_per_node", 1),
            cpus_per_process=chosen("cpus_per_gpu", 1),
            memory_gb_per_node=chosen("memory_gb_per_node"),
            minutes=_minutes(chosen("hours", 24.0)),
            max_concurrent=chosen("max_concurrent"),
            sbatch=tuple(sorted({**(self.sbatch or {}), **(own.sbatch or {})}.items())),
            setup=tuple(chosen("setup", ())),
            python=None if chosen("python") is None else str(Path(chosen("python")).expanduser()),
        )


def _minutes(hours: float) -> int:
    return max(round(60 * hours), 1)


@dataclass(frozen=True)
class Resources:
    """Resources of one job; jobs with equal resources share an array."""

    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    nodes: int
    gpus_per_node: int
    processes_per_node: int
    cpus_per_process: int
    memory_gb_per_node: float | None
    minutes: int
    max_concurrent: int | None
    sbatch: tuple[tuple[str, str | int | float | bool], ...]
    setup: tuple[str, ...]
    python: str | None

    @property
    def processes(self) -> int:
        return self.nodes * self.processes_per_node

    @property
    def gpus(self) -> int:
        return self.nodes * self.gpus_per_node


def user_clusters() -> Path:
    """Return the directory of the user's profiles: ``$XDG_CONFIG_HOME/opera-bench/clusters``, default ``~/.config``."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "opera-bench" / "clusters"


def cluster_names() -> tuple[str, ...]:
    """Return the names of the shipped profiles and the user's."""
    shipped = {item.name for item in files("slurm").joinpath("clusters").iterdir()}
    own = {path.name for path in user_clusters().glob("*.yaml")} if user_clusters().is_dir() else set()
    return tuple(sorted(name.removesuffix(".yaml") for name in shipped | own if name.endswith(".yaml")))


def find_profile(name: str) -> Path | str:
    """Return the path of the profile called ``name`` (the user's first), or the text of a shipped profile.

    Raises
    ------
    InputError
        No such profile; the message lists what is allowed.
    """
    if name.endswith((".yaml", ".yml")):
        if not os.path.lexists(name):
            raise InputError(f"cluster {name}: no such file")
        return Path(name)
    if "/" not in name and os.path.lexists(own := user_clusters() / f"{name}.yaml"):
        return own
    if name in cluster_names():
        return files("slurm").joinpath("clusters", f"{name}.yaml").read_text(encoding="utf-8")
    near = difflib.get_close_matches(name, cluster_names(), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise InputError(
        f"unknown cluster {name!r}; {hint}allowed: {', '.join(cluster_names())}, a path to a YAML file, "
        f"or a profile of your own as {user_clusters()}/{name}.yaml"
    )


def parse_profile(content: Any, where: str) -> ClusterProfile:
    """Return the checked profile that was read from YAML.

    Raises
    ------
    InputError
        Names the first problem, and the valid keys if a key is unknown; ``key`` is the path to the setting.
    """
    if not isinstance(content, Mapping):
        raise InputError(f"cluster {where}: write a mapping; allowed: {', '.join(ClusterProfile.model_fields)}")
    try:
        return ClusterProfile.model_validate(dict(content))
    except ValidationError as error:
        first = error.errors()[0]
        # For a union, pydantic adds the alternative's name to ``loc``.
        path = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            model = StageResources if first["loc"][0] == "stages" else ClusterProfile
            word, allowed = str(first["loc"][-1]), sorted(model.model_fields)
            near = difflib.get_close_matches(word, allowed, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise InputError(
                f"cluster {where}: unknown key {path!r}; {hint}allowed: {', '.join(allowed)}", key=first["loc"]
            ) from error
        given = "" if isinstance(first["input"], Mapping) else f", not {first['input']!r:.80}"
        said = first["msg"].removeprefix("Value error, ")
        place = f"{path}: " if path else ""
        raise InputError(f"cluster {where}: {place}{said[0].lower()}{said[1:]}{given}", key=first["loc"]) from error
