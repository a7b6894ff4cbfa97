"""Defines, writes and reads the record, the small JSON file that a run writes once, when it finishes."""

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
from results.metrics import Metric
from results.reference import published_metric
from results.seal import seal, unseal

SCHEMA_VERSION = 3
OLDEST_READABLE_VERSION = 2
"""Records of schema 2 lack ``declarations`` and are otherwise equal."""
_VERSION = re.compile(rb'\{\s*"schema_version"\s*:\s*(\d{1,9})\s*,')
NOT_SEEN = "not seen"
"""The fingerprint in the record of an import, whose pretraining data this suite never opened."""
_REMEDY = "opera-bench retry computes the run again"


class DamagedRecord(InputError):  # noqa: N818 — named after the run's state
    """The record's content can't be trusted, so the run doesn't count as done."""


class OtherSchema(InputError):  # noqa: N818 — the file isn't faulty
    """The record has an earlier or later schema version; it isn't damaged."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RecipeReference(_Part):
    """The recipe that a run followed; ``changed`` lists the keys that the sweep changed."""

    id: str
    version: int
    source: str
    changed: tuple[str, ...] = ()


class ParentReference(_Part):
    """The checkpoint that was evaluated, with the checksums of its weights and header when they were read."""

    run_id: str
    checkpoint_sha256: str
    header_sha256: str


class DatasetReference(_Part):
    """The dataset of a run: ``fingerprint`` is the SHA-256 of its content, ``sizes`` maps splits to sample counts.

    ``differs`` says in words how the data differ from the published dataset of this name; None if they don't.
    """

    name: str
    version: str
    sizes: dict[str, int]
    fingerprint: str
    differs: str | None = None


class CheckpointReference(_Part):
    """A checkpoint this run wrote; ``path`` is relative to the run directory.

    ``header_sha256`` is the checksum of the header's file, which determines results as the weights do. An import also
    lists the file it read: with role ``source``, the file name as ``path``, the set of weights it read as ``weights``,
    and no header.
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
    """The results of a run and everything needed to check and to repeat them."""

    schema_version: int = SCHEMA_VERSION
    run_id: str
    stage: str = Field(description="'pretrain', 'import' or the evaluator's name")
    config: dict[str, Any] = Field(description="as planned; names the distributions of all plugins that computed it")
    recipe: RecipeReference
    parents: tuple[ParentReference, ...] = ()
    dataset: DatasetReference
    metrics: dict[str, FiniteFloat | None] = Field(description="None for a metric that is not defined on this data")
    declarations: dict[str, Metric] = Field(
        default_factory=dict, description="metric to label, unit, direction: what the evaluator or method declares"
    )
    seed: int
    attempts: int = Field(ge=1)
    timing: Timing
    machine: Machine
    software: Software
    compute: dict[str, Any] = Field(
        default_factory=dict,
        description="--compute settings of the last attempt; they change rounding, not the id",
    )
    images_per_second: float | None = None
    checkpoints: tuple[CheckpointReference, ...] = ()
    artifacts: dict[str, str] = Field(default_factory=dict, description="file in artifacts/ to its SHA-256")
    per_class: dict[str, dict[str, FiniteFloat | None]] | None = Field(
        default=None, description="class to metric to value, None if undefined; only of evaluations by class"
    )

    def declared(self) -> dict[str, Metric]:
        """Return the declaration of every metric in ``metrics``.

        An undeclared metric, as in a record of schema 2, has that of the published metric of its name. Otherwise its
        label is its name, it has neither unit nor direction, and it is a headline if the run has no other.
        """
        found = {name: self.declarations.get(name) or published_metric(name) for name in self.metrics}
        alone = not any(metric is not None and metric.headline for metric in found.values())
        return {name: metric or Metric(name, headline=alone) for name, metric in found.items()}


def record_text(record: Record) -> str:
    """Return the text of ``record.json``: the record as JSON, sealed with a checksum of that text."""
    return seal(record.model_dump_json(indent=2))


def has_other_schema(path: Path) -> bool:
    """Return whether the record has another schema version than this opera-bench reads."""
    try:
        read_record(path)
    except OtherSchema:
        return True
    except (ValueError, OSError):
        pass
    return False


def read_record(path: Path) -> Record:
    """Read ``path``, the ``record.json`` of a run directory.

    Checks the schema version first, then the checksum, then the content and its run id.

    Raises
    ------
    OtherSchema
        The record has another schema version than this opera-bench reads.
    DamagedRecord
        The content has changed since it was written, is invalid, or belongs to another run.
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
    if version < OLDEST_READABLE_VERSION:
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
    """Return a record's schema version, or None. This schema writes it as the first key, other schemas anywhere."""
    found = _VERSION.match(content)
    if found is not None:
        return int(found[1])
    try:
        version = json.loads(content).get("schema_version")
    except (ValueError, AttributeError, RecursionError):
        return None
    return version if type(version) is int else None
