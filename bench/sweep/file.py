"""Defines the content of a sweep file.

    name: digits
    description: one line
    data: {imagenet: ${IMAGENET_DIR}}        # directories; a relative one starts where the command is typed
    cluster: a100                            # a profile, its name, or its path from there; for --executor slurm
    pretrain:
      - {method: [opera, moco_v3], backbone: vit_small, epochs: [150, 300], seed: [0, 1]}
      - checkpoint: /path/vit-s-300ep.pth.tar       # trained elsewhere; ``as`` declares what the file can't tell
        format: moco_v3
        as: {method: moco_v3_official, backbone: vit_small, epochs: 300, batch_size: 4096}
    evaluate:
      - linear
      - {transfer: {dataset: [cifar10, pets], only: {backbone: vit_small}}}
    tables: [table1]
    figures: [curves]

Lists multiply: each item gives its own runs. A setting whose value is itself a list (``views``) is varied by a list of
lists.

``optional: true`` on an entry under ``pretrain`` leaves the entry out while an environment variable in it isn't set.

``groups`` names further rows, each group with its own ``pretrain`` and ``evaluate``; ``rows`` chooses: ``own`` (the
entries above), a group's name, or ``all``. Without ``rows``, a sweep runs its own; under ``--tiny``, all.

``include: [table1, mine.yaml]`` adds the runs of other sweeps: shipped ones by name, files by a path relative to the
including file. Each included sweep keeps its own evaluations; a run that several sweeps need is computed once.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    Tag,
    model_validator,
)

from pretrain.config import LARGEST_BATCH, MOST_EPOCHS, Integer
from pretrain.subject import NamedNormalisation


def _as_list(value: Any) -> Any:
    if isinstance(value, list | tuple) and not value:
        raise ValueError("an empty list asks for nothing; give at least one value")
    return value if isinstance(value, list | tuple) else [value]


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{value!r} appears twice; each value is run once, so leave one out")
    return values


NonNegative = Annotated[Integer, Field(ge=0)]
Seed = Annotated[Integer, Field(ge=0, lt=2**32)]
Words = Annotated[tuple[str, ...], BeforeValidator(_as_list), Field(min_length=1), AfterValidator(_distinct)]
Seeds = Annotated[tuple[Seed, ...], BeforeValidator(_as_list), Field(min_length=1), AfterValidator(_distinct)]

NAME_PATTERN = r"^[^\s./\\-]([^/\\]*[^\s/\\])?$"
NAME_BYTES = 200
"""Longest sweep name in UTF-8 bytes: file systems allow 255, and the names of a sweep's files are longer."""


def _check_name(name: str) -> str:
    if not re.search(NAME_PATTERN, name) or not name.isprintable() or len(name.encode()) > NAME_BYTES:
        raise ValueError(
            f"a sweep's name is also the name of its files: {NAME_BYTES} bytes at most, printable, without / and \\, "
            "no . or - at the start, no blank at either end"
        )
    return name


SweepName = Annotated[str, AfterValidator(_check_name), Field(json_schema_extra={"pattern": NAME_PATTERN})]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class PretrainEntry(_Part):
    """One entry under ``pretrain``; ``options`` holds settings of the run and of the method."""

    method: Words
    backbone: Words
    dataset: Words = ("imagenet",)
    seed: Seeds = (0,)
    recipe: str | None = None
    optional: StrictBool = False
    options: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _gather_options(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            raise ValueError("write a mapping: {method: …, backbone: …}")
        named = {key: value for key, value in data.items() if key in PRETRAIN_KEYS}
        return {**named, "options": {key: value for key, value in data.items() if key not in PRETRAIN_KEYS}}


ALIASES = {"batch_size": "global_batch_size"}
"""Alias → name of the setting."""
PRETRAIN_KEYS = ("method", "backbone", "dataset", "seed", "recipe", "optional")


class ImportDeclaration(_Part):
    """Facts about an imported checkpoint for tables and filters; ``method`` may be any word, None means unknown."""

    method: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    backbone: str
    epochs: Annotated[NonNegative, Field(le=MOST_EPOCHS)] | None
    global_batch_size: Annotated[Integer, Field(gt=0, le=LARGEST_BATCH)] | None = Field(
        validation_alias=AliasChoices("global_batch_size", "batch_size")
    )
    dataset: str = "imagenet"
    seed: Seeds = (0,)
    normalisation: NamedNormalisation | None = None


class ImportEntry(_Part):
    """One entry under ``pretrain`` that imports a checkpoint trained elsewhere."""

    checkpoint: str = Field(min_length=1)
    format: str
    sha256: str | None = None
    weights: str | None = None
    optional: StrictBool = False
    as_: ImportDeclaration = Field(alias="as")


PRETRAIN_TAG, IMPORT_TAG = "<pretrain>", "<import>"
"""Tags in the locations of pydantic's errors: whether an entry under ``pretrain`` was read as pretraining or import."""


def _kind(data: Any) -> str:
    is_import = isinstance(data, ImportEntry) or (isinstance(data, dict) and "checkpoint" in data)
    return IMPORT_TAG if is_import else PRETRAIN_TAG


Pretraining = Annotated[
    Annotated[PretrainEntry, Tag(PRETRAIN_TAG)] | Annotated[ImportEntry, Tag(IMPORT_TAG)], Discriminator(_kind)
]


class EvaluateEntry(_Part):
    """One entry under ``evaluate``: an evaluator, its options, and filters that choose checkpoints."""

    evaluator: str
    recipe: str | None = None
    only: dict[str, Any] = {}
    except_: dict[str, Any] = Field(default={}, alias="except")
    options: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_yaml(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"evaluator": data}
        if not isinstance(data, dict) or len(data) != 1:
            raise ValueError("write the name of one evaluator, or {name: {options}}")
        ((name, body),) = data.items()
        body = {} if body is None else body
        if not isinstance(body, dict):
            raise ValueError(f"write {name}: {{option: value}}")
        named = {key: value for key, value in body.items() if key in EVALUATE_KEYS}
        options = {key: value for key, value in body.items() if key not in EVALUATE_KEYS}
        return {"evaluator": name, **named, "options": options}


EVALUATE_KEYS = ("recipe", "only", "except")


OWN_ROWS, ALL_ROWS = "own", "all"
"""Values of ``rows`` that aren't names of groups."""
GROUP_NAME_PATTERN = r"^[A-Za-z0-9_-]+$"


def _check_group_name(name: str) -> str:
    if name in (OWN_ROWS, ALL_ROWS) or not re.search(GROUP_NAME_PATTERN, name):
        raise ValueError(
            f"a group's name has letters, digits, - and _, and is not {OWN_ROWS} (the sweep's own rows) or {ALL_ROWS}"
        )
    return name


GroupName = Annotated[str, AfterValidator(_check_group_name), Field(json_schema_extra={"pattern": GROUP_NAME_PATTERN})]


class Group(_Part):
    """Named rows of a sweep; their evaluations apply to their pretrainings alone."""

    pretrain: tuple[Pretraining, ...] = Field(min_length=1)
    evaluate: tuple[EvaluateEntry, ...] = ()


class SweepFile(_Part):
    """The whole file."""

    name: SweepName
    description: str = ""
    data: dict[str, str] = {}
    cluster: str | dict[str, Any] | None = None
    include: tuple[str, ...] = ()
    pretrain: tuple[Pretraining, ...] = ()
    evaluate: tuple[EvaluateEntry, ...] = ()
    rows: str | None = None
    groups: dict[GroupName, Group] = {}
    tables: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _require_content(self) -> Self:
        if not self.pretrain and not self.include:
            raise ValueError("there is nothing to run; add pretrain: [{method: …, backbone: …}] or include: [SWEEP]")
        if self.evaluate and not self.pretrain:
            raise ValueError("evaluate needs pretrainings in this sweep, and there are none; add pretrain: […]")
        return self
