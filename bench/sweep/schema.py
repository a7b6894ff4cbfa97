"""Makes JSON Schemas of sweep files and cluster profiles from the models that check them."""

from __future__ import annotations

import json
from typing import Any

from bench.sweep.errors import InputError
from bench.sweep.file import ALL_ROWS, EVALUATE_KEYS, GROUP_NAME_PATTERN, OWN_ROWS, PRETRAIN_KEYS, SweepFile
from pretrain.datasets.lookup import LABEL, LABELLED
from pretrain.plugins import plugin_names, suggest
from results.declarations import table_names
from results.figures import figure_names
from slurm.job import ExecutorOptions
from slurm.lookup import cluster_executor, find_executor

SCHEMAS = ("sweep", "cluster")
_OPTIONAL = {"type": "boolean", "description": "leave the entry out while an environment variable in it isn't set"}


def schema_text(of: str) -> str:
    """Return the schema of a file type, ``sweep`` or ``cluster``, as JSON text.

    Raises
    ------
    InputError
        Unknown file type.
    """
    if of not in SCHEMAS:
        raise InputError(f"no schema {of!r}; {suggest(of, SCHEMAS)}")
    schema = _sweep() if of == "sweep" else _profiles().model_json_schema()
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _profiles() -> type[ExecutorOptions]:
    """Return the class of cluster profiles."""
    return find_executor(cluster_executor()).Options


def _sweep() -> dict[str, Any]:
    """Return pydantic's schema of a sweep file, with all known names, and entries in the form that users write."""
    top: dict[str, Any] = SweepFile.model_json_schema()
    fields = top["properties"]
    fields["pretrain"] = {"type": "array", "minItems": 1, "items": {"anyOf": [_pretraining(), _import()]}}
    fields["evaluate"] = {"type": "array", "items": _evaluation()}
    by_path = {"type": "string", "pattern": r"\.ya?ml$", "description": "a file beside the sweep"}
    entries = {key: {"$ref": f"#/properties/{key}"} for key in ("pretrain", "evaluate")}
    fields["groups"] = {
        "type": "object",
        "propertyNames": {"pattern": GROUP_NAME_PATTERN, "not": {"enum": [OWN_ROWS, ALL_ROWS]}},
        "additionalProperties": {
            "type": "object",
            "required": ["pretrain"],
            "properties": entries,
            "additionalProperties": False,
        },
    }
    fields["rows"] = {
        "type": "string",
        "pattern": GROUP_NAME_PATTERN,
        "description": f"{OWN_ROWS} (the entries under pretrain), the name of a group, or {ALL_ROWS}",
    }
    fields["tables"] = {"type": "array", "items": {"anyOf": [{"enum": list(table_names())}, by_path]}}
    fields["figures"] = {"type": "array", "items": {"enum": list(figure_names())}}
    fields["data"] = {
        "type": "object",
        "propertyNames": _dataset(),
        "additionalProperties": {"type": "string"},
    }
    fields["cluster"] = {
        "anyOf": [
            {"type": "string", "examples": list(_profiles().profile_names())},
            {"type": "object", "description": "a profile, see opera-bench schema cluster"},
        ]
    }
    top.pop("$defs", None)
    return top


def _pretraining() -> dict[str, Any]:
    named: dict[str, Any] = {
        "method": _one_or_many({"enum": list(plugin_names("pretrain.methods"))}),
        "backbone": _one_or_many({"enum": list(plugin_names("pretrain.backbones"))}),
        "dataset": _one_or_many(_dataset()),
        "seed": _one_or_many({"type": "integer", "minimum": 0}),
        "recipe": {"type": "string"},
        "optional": _OPTIONAL,
    }
    assert set(PRETRAIN_KEYS) == set(named), "a key of a pretraining entry that the schema does not know"
    return {
        "type": "object",
        "required": ["method", "backbone"],
        "properties": {**named, "on": _one_or_many({"enum": list(plugin_names("pretrain.methods"))})},
        "description": "further keys are settings of the run or of the method; lists multiply",
    }


def _dataset() -> dict[str, Any]:
    labelled = {"pattern": rf"^({'|'.join(LABELLED)})_{LABEL}$", "description": "own images: folder_birds"}
    return {"anyOf": [{"enum": list(plugin_names("pretrain.datasets"))}, {"type": "string", **labelled}]}


def _import() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["checkpoint", "format", "as"],
        "properties": {
            "checkpoint": {"type": "string"},
            "format": {"enum": list(plugin_names("pretrain.foreign"))},
            "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            "weights": {"type": "string"},
            "optional": _OPTIONAL,
            "as": {"type": "object"},
        },
    }


def _evaluation() -> dict[str, Any]:
    names = list(plugin_names("evaluators"))
    filters = {key: {"type": "object"} for key in EVALUATE_KEYS if key != "recipe"}
    body = {"type": ["object", "null"], "properties": {"recipe": {"type": "string"}, **filters}}
    return {
        "anyOf": [
            {"enum": names},
            {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "properties": dict.fromkeys(names, body),
                "additionalProperties": False,
            },
        ]
    }


def _one_or_many(item: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]}
