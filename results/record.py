"""The record: the one small file a finished run leaves, written once and read by everything else."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from results.errors import InputError

SCHEMA_VERSION = 1


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RecipeReference(_Part):
    """Which recipe a run followed; ``changed`` lists the keys the sweep set differently."""

    id: str
    version: int
    source: str
    changed: tuple[str, ...] = ()


class ParentReference(_Part):
    run_id: str
    checkpoint_sha256: str


class DatasetReference(_Part):
    """The data a run saw. ``fingerprint`` is SHA-256 over the content it was opened from; ``sizes`` by split.

    ``differs`` says in words how it is another set than the published one of this name; None where it is that one.
    """

    name: str
    version: str
    sizes: dict[str, int]
    fingerprint: str
    differs: str | None = None


class CheckpointReference(_Part):
    """A checkpoint this run wrote; ``path`` is relative to the run directory.

    An import also names the file it read, as role ``source``, by its name alone.
    """

    role: str
    path: str
    sha256: str


class Timing(_Part):
    started_at: datetime
    finished_at: datetime
    seconds: float = Field(ge=0, description="summed over all attempts")


class Machine(_Part):
    host: str
    device: str = Field(description="device name as the driver or the kernel gives it")
    world_size: int = Field(ge=1)
    peak_memory_bytes: int = Field(ge=0)
    scheduler_job_id: str | None = None


class Software(_Part):
    git_commit: str | None
    git_dirty: bool | None
    packages: dict[str, str]


class Record(_Part):
    """Everything needed to trust one number and to obtain it again.

    Metric units are those of ``results.metrics``; an unknown metric carries its unit in its name.
    """

    schema_version: int = SCHEMA_VERSION
    run_id: str
    stage: str = Field(description="'pretrain', 'import' or the evaluator's name")
    config: dict[str, Any]
    recipe: RecipeReference
    parents: tuple[ParentReference, ...] = ()
    dataset: DatasetReference
    metrics: dict[str, FiniteFloat | None] = Field(description="None for a metric that is not defined on this data")
    seed: int
    attempts: int = Field(ge=1)
    timing: Timing
    machine: Machine
    software: Software
    compute: dict[str, Any] = Field(
        default_factory=dict, description="what --compute set, in the last attempt: no part of the id, but it rounds"
    )
    images_per_second: float | None = None
    checkpoints: tuple[CheckpointReference, ...] = ()
    artifacts: dict[str, str] = Field(default_factory=dict, description="file in artifacts/ to its SHA-256")
    per_class: dict[str, dict[str, FiniteFloat | None]] | None = Field(
        default=None, description="class to metric to value (None: it can't be had), of evaluations that give them"
    )


def read_record(path: Path) -> Record:
    """Read and check one record.

    Raises
    ------
    InputError
        The file is not a record, or was written by a newer schema.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a readable record (no UTF-8 text)") from error
    try:
        return Record.model_validate_json(text)
    except ValidationError as error:
        version = _schema_version(text)
        if version is not None and version > SCHEMA_VERSION:
            raise InputError(
                f"{path}: written by record schema {version}, this opera-bench reads up to {SCHEMA_VERSION}; "
                "upgrade opera-bench to read it"
            ) from error
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(
            f"{path}: not a readable record ({where}: {first['msg']}); without that file the run starts again"
        ) from error


def _schema_version(text: str) -> int | None:
    import json

    try:
        version = json.loads(text).get("schema_version")
    except (ValueError, AttributeError):
        return None
    return version if isinstance(version, int) else None
