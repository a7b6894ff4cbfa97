"""The record: the one small file a finished run leaves, written once and read by everything else."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from results.errors import InputError
from results.files import read_regular
from results.identity import require_own_id
from results.seal import seal, unseal

SCHEMA_VERSION = 2
_VERSION = re.compile(rb'\{\s*"schema_version"\s*:\s*(\d{1,9})\s*,')
_REMEDY = "opera-bench retry computes the run again"


class DamagedRecord(InputError):  # noqa: N818 — the state it leads to
    """A record whose content can't be trusted: the run counts as not done."""


class OtherSchema(InputError):  # noqa: N818 — a fact about a file
    """A record of an earlier or a later schema version, which nothing says is damaged."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RecipeReference(_Part):
    """Which recipe a run followed; ``changed`` lists the keys the sweep set differently."""

    id: str
    version: int
    source: str
    changed: tuple[str, ...] = ()


class ParentReference(_Part):
    """The checkpoint that was judged, weights and header as they were read."""

    run_id: str
    checkpoint_sha256: str
    header_sha256: str


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

    ``header_sha256`` is that of the header's file, which decides results as the weights do. An import also names the
    file it read, as role ``source``, by its name alone, and in ``weights`` which of the file's sets of weights it read;
    that file has no header.
    """

    role: str
    path: str
    sha256: str
    weights: str | None = None
    header_sha256: str | None = None


class Timing(_Part):
    started_at: datetime
    finished_at: datetime
    seconds: float = Field(ge=0, description="summed over all attempts")


class Machine(_Part):
    host: str
    device: str = Field(description="device name as the driver or the kernel gives it")
    device_kind: Literal["cpu", "cuda"] = Field(description="whether a processor or a GPU computed")
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
    config: dict[str, Any] = Field(description="as planned; names the distributions of all plugins that computed it")
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


def record_text(record: Record) -> str:
    """What ``record.json`` holds: the record, sealed with a checksum of its own text."""
    return seal(record.model_dump_json(indent=2))


def read_record(path: Path) -> Record:
    """The record of the run in whose directory ``path`` lies.

    The schema version is read first, then the checksum, and only then the content, whose run id is verified.

    Raises
    ------
    OtherSchema
        Written by a version of opera-bench whose records this one does not read.
    DamagedRecord
        A byte of it has changed, or it is the record of another run.
    """
    content = read_regular(path)
    version = _schema_version(content)
    if version is None:
        raise DamagedRecord(f"{path}: damaged, nothing tells its schema version; {_REMEDY}")
    if version > SCHEMA_VERSION:
        raise OtherSchema(
            f"{path}: written by record schema {version}, this opera-bench reads schema {SCHEMA_VERSION}; "
            "upgrade opera-bench to read it"
        )
    if version < SCHEMA_VERSION:
        raise OtherSchema(
            f"{path}: written by record schema {version}, whose records carry no checksum; "
            "delete its directory and run the sweep again"
        )
    text = unseal(content)
    if text is None:
        raise DamagedRecord(f"{path}: damaged, its checksum is not that of its content; {_REMEDY}")
    try:
        record = Record.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DamagedRecord(f"{path}: not a readable record ({where}: {first['msg']}); {_REMEDY}") from error
    if record.run_id != path.parent.name:
        raise DamagedRecord(f"{path}: the record of another run, {record.run_id}; {_REMEDY}")
    try:
        parents = [parent.run_id for parent in record.parents]
        require_own_id(record.run_id, record.stage, record.config, parents, where=str(path))
    except InputError as error:
        raise DamagedRecord(f"{error}; {_REMEDY}") from error
    return record


def _schema_version(content: bytes) -> int | None:
    """The version of a record of any schema: its first key here, wherever another schema may have it."""
    found = _VERSION.match(content)
    if found is not None:
        return int(found[1])
    try:
        version = json.loads(content).get("schema_version")
    except (ValueError, AttributeError, RecursionError):
        return None
    return version if type(version) is int else None
