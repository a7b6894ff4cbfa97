"""Cluster profiles: the resources that each stage of work requests, and the settings of the site."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

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

from slurm.errors import InputError, suggest
from slurm.job import Document, ExecutorOptions, Request, Resources
from slurm.scheduler.flags import NAME, check_flag, check_setup, convert_times, read_hours

HOURS_OF_A_YEAR = 8784
MOST = 1_000_000
"""Jobs, or processes of one job: more than any cluster has room for."""
MOST_NODES = 100_000
MOST_GPUS_OF_A_NODE = 1_024
MOST_PROCESSES_OF_A_NODE = 4_096
MOST_PROCESSORS_OF_A_PROCESS = 4_096
MOST_PROCESSORS_OF_A_NODE = 65_536
MOST_GIBIBYTES_OF_A_NODE = 65_536
"""More than any machine has, so that a slip of the keyboard is refused."""

Integer = Annotated[int, Strict()]
Count = Annotated[Integer, Field(gt=0, le=MOST)]
Switch = Annotated[bool, Strict()]
Hours = Annotated[
    Annotated[float, Strict(), Field(gt=0, le=HOURS_OF_A_YEAR, allow_inf_nan=False)], BeforeValidator(read_hours)
]
OneLine = Annotated[str, Field(pattern=r"^[^\n\r]+$")]
Flag = Annotated[str, Field(pattern=NAME), BeforeValidator(check_flag)]


class StageResources(BaseModel):
    """What one job of a stage asks for. What a stage leaves out it takes from the cluster."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    partition: OneLine | None = None
    account: OneLine | None = None
    qos: OneLine | None = None
    constraint: OneLine | None = None
    nodes: Count | None = Field(default=None, le=MOST_NODES)
    gpus_per_node: Integer | None = Field(
        default=None,
        ge=0,
        le=MOST_GPUS_OF_A_NODE,
        description="one process runs per GPU; with 0, processes_per_node on the processor",
    )
    processes_per_node: Count | None = Field(
        default=None, le=MOST_PROCESSES_OF_A_NODE, description="only where gpus_per_node is 0"
    )
    cpus_per_gpu: Count | None = Field(
        default=None, le=MOST_PROCESSORS_OF_A_PROCESS, description="processors of each process, with or without a GPU"
    )
    memory_gb_per_node: Annotated[float, Strict()] | None = Field(
        default=None, ge=0.01, le=MOST_GIBIBYTES_OF_A_NODE, allow_inf_nan=False, description="GiB"
    )
    hours: Hours | None = Field(default=None, description="time limit of one attempt: 1.5, or 1:30, or 1-12:00")
    max_concurrent: Count | None = Field(default=None, description="jobs of one array that run at the same time")
    sbatch: Annotated[
        dict[Flag, OneLine | Integer | Annotated[float, Strict()] | Switch] | None, BeforeValidator(convert_times)
    ] = Field(default=None, description="further sbatch flags without their dashes, e.g. {exclusive: true}")
    setup: tuple[Annotated[str, AfterValidator(check_setup)], ...] | None = Field(
        default=None, description="shell lines before the job, e.g. module load cuda"
    )
    python: OneLine | None = Field(
        default=None, description="the interpreter that runs the job; the submitting one by default"
    )


class ClusterProfile(StageResources, ExecutorOptions):
    """One cluster. Its own fields are the defaults of every stage; ``stages`` says what differs by stage."""

    takes_cluster: ClassVar[bool] = True

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
        default={},
        description="by stage: pretrain, import, or an evaluator's name (linear, finetune, …); a stage that is not "
        "listed gets the cluster's own values",
    )

    @classmethod
    def read(cls, request: Request) -> Self:
        """Return the profile that ``--cluster`` names or, without the option, the sweep names or contains.

        Raises
        ------
        InputError
            ``--workers`` was given, no cluster is named, or its profile is invalid.
        """
        if request.workers is not None:
            raise InputError("--workers: goes with --executor local; a cluster's profile has max_concurrent")
        chosen = request.cluster or request.sweep_cluster
        if chosen is None:
            raise InputError("--executor slurm needs a cluster; add --cluster NAME, or cluster: NAME to the sweep")
        profile = cls.parse(request.load_yaml(find_profile(chosen)) if isinstance(chosen, str) else chosen)
        for stage in profile.stages if request.stages else ():
            if stage not in request.stages:
                hint = suggest(stage, request.stages)
                raise InputError(f"cluster {profile.name}: stages: unknown stage {stage!r}; {hint}")
        return profile

    @classmethod
    def parse(cls, document: Document) -> Self:
        """Return the checked profile that was read from YAML.

        Raises
        ------
        InputError
            Names the first problem with its line, and the valid keys if a key is unknown.
        """
        content = document.data
        if not isinstance(content, Mapping):
            raise InputError(f"cluster {document.where(())}: write a mapping; allowed: {', '.join(cls.model_fields)}")
        try:
            return cls.model_validate(dict(content))
        except ValidationError as error:
            first = error.errors()[0]
            where = f"cluster {document.where(first['loc'])}"
            # For a union, pydantic adds the alternative's name to ``loc``.
            path = ".".join(str(part) for part in first["loc"])
            if first["type"] == "extra_forbidden":
                model = StageResources if first["loc"][0] == "stages" else cls
                hint = suggest(str(first["loc"][-1]), sorted(model.model_fields))
                raise InputError(f"{where}: unknown key {path!r}; {hint}") from error
            is_key = first["loc"][-1:] == ("[key]",)
            path = path.removesuffix(".[key]")
            given = "" if is_key or isinstance(first["input"], Mapping) else f", not {first['input']!r:.80}"
            problem = first["msg"].removeprefix("Value error, ")
            what = f"{path}: " if path else ""
            raise InputError(f"{where}: {what}{problem[0].lower()}{problem[1:]}{given}") from error

    @classmethod
    def profile_names(cls) -> tuple[str, ...]:
        """Return the names of the shipped profiles and the user's."""
        shipped = {item.name for item in files("slurm").joinpath("clusters").iterdir()}
        of_user = {path.name for path in user_clusters().glob("*.yaml")} if user_clusters().is_dir() else set()
        return tuple(sorted(name.removesuffix(".yaml") for name in shipped | of_user if name.endswith(".yaml")))

    def summary(self) -> str:
        return f"cluster {self.name}"

    @model_validator(mode="after")
    def _check_hours(self) -> Self:
        parts: dict[str, StageResources] = {"": self, **{f"stages.{name}: ": s for name, s in self.stages.items()}}
        for prefix, part in parts.items():
            if part.hours is not None and 60 * _minutes(part.hours) <= self.seconds_before_limit:
                raise ValueError(
                    f"{prefix}hours: {part.hours:g} ({60 * part.hours:g} min) must be longer than "
                    "seconds_before_limit: "
                    f"{self.seconds_before_limit} ({self.seconds_before_limit / 60:g} min), when a job is told to save "
                    "its state"
                )
        return self

    @model_validator(mode="after")
    def _fits_a_cluster(self) -> Self:
        for prefix, stage in (("", ""), *((f"stages.{name}: ", name) for name in self.stages)):
            wanted = self.resources(stage)
            per_node = "gpus_per_node" if wanted.gpus_per_node else "processes_per_node"
            if wanted.processes > MOST:
                raise ValueError(
                    f"{prefix}nodes: {wanted.nodes} with {per_node}: {wanted.processes_per_node} are "
                    f"{wanted.processes:,} processes; a job has at most {MOST:,}"
                )
            processors = wanted.processes_per_node * wanted.cpus_per_process
            if processors > MOST_PROCESSORS_OF_A_NODE:
                raise ValueError(
                    f"{prefix}{per_node}: {wanted.processes_per_node} with cpus_per_gpu: {wanted.cpus_per_process} are "
                    f"{processors:,} processors of a node; a node has at most {MOST_PROCESSORS_OF_A_NODE:,}"
                )
        return self

    def resources(self, stage: str) -> SlurmResources:
        """Return the resources of a job of ``stage``, with all defaults filled in."""
        of_stage = self.stages.get(stage, StageResources())

        def chosen(field: str, default: Any = None) -> Any:
            value = getattr(of_stage, field)
            value = getattr(self, field) if value is None else value
            return default if value is None else value

        gpus = chosen("gpus_per_node", 0)
        return SlurmResources(
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
            sbatch=tuple(sorted({**(self.sbatch or {}), **(of_stage.sbatch or {})}.items())),
            setup=tuple(chosen("setup", ())),
            python=None if chosen("python") is None else str(Path(chosen("python")).expanduser()),
        )


def _minutes(hours: float) -> int:
    return max(round(60 * hours), 1)


@dataclass(frozen=True, kw_only=True)
class SlurmResources(Resources):
    """Resources of one job; jobs with equal resources share an array."""

    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    memory_gb_per_node: float | None
    max_concurrent: int | None
    sbatch: tuple[tuple[str, str | int | float | bool], ...]


def user_clusters() -> Path:
    """Return the directory of the user's profiles: ``$XDG_CONFIG_HOME/opera-bench/clusters``, default ``~/.config``."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "opera-bench" / "clusters"


def find_profile(name: str) -> Path:
    """Return the file of the profile called ``name``, the user's first, or the YAML file ``name`` itself.

    Raises
    ------
    InputError
        No such profile; the message lists what is allowed.
    """
    if name.endswith((".yaml", ".yml")):
        if not os.path.lexists(name):
            raise InputError(f"cluster {name}: no such file")
        return Path(name)
    if "/" not in name and os.path.lexists(path := user_clusters() / f"{name}.yaml"):
        return path
    names = ClusterProfile.profile_names()
    if name in names:
        return Path(str(files("slurm"))) / "clusters" / f"{name}.yaml"
    raise InputError(
        f"unknown cluster {name!r}; {suggest(name, names)}, a path to a YAML file, "
        f"or a profile of your own as {user_clusters()}/{name}.yaml"
    )
