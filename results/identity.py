"""Run ids: the same work has the same id, wherever and whenever it is planned, and an id belongs to one content."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from results.errors import InputError

PLUGINS = "plugins"
"""The part of a run's configuration that names other distributions: ``{name: {version, source_sha256}}``."""


_RUN_ID = re.compile(r"([a-z0-9_.-]+?)-[a-z0-9_.-]+-[0-9a-f]{10}")


def stage_of_id(name: str) -> str | None:
    """The stage that a run's id begins with; None for a name that is no run's id."""
    found = _RUN_ID.fullmatch(name)
    return found and found[1]


def canonical_json(value: Any) -> str:
    """JSON of which equal values have exactly one: keys sorted, no spaces, 1.0 written as 1.

    Raises
    ------
    ValueError
        The value holds NaN or an infinity.
    """
    return json.dumps(_normalise(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def run_id(stage: str, config: Mapping[str, Any], parents: Sequence[str]) -> str:
    """``<stage>-<readable>-<10 hex>``, the hex being SHA-256 over the canonical JSON of the arguments.

    Parameters
    ----------
    config
        ``{pretrain: …}``, ``{pretrain: …, import: …}`` or ``{evaluator: …, pretrain: …}``, and ``plugins`` beside
        them where other distributions compute the run; JSON-able.
    """
    digest = hashlib.sha256(canonical_json(identity(stage, config, parents)).encode()).hexdigest()[:10]
    return f"{_filename(stage)}-{_filename(_readable(_normalise(config)))}-{digest}"


def identity(stage: str, config: Mapping[str, Any], parents: Sequence[str]) -> dict[str, Any]:
    """What an id is made of: everything but the words that cite a recipe."""
    parts = {part: _without_citation(settings) for part, settings in config.items()}
    return {"stage": stage, "config": parts, "parents": list(parents)}


def require_own_id(found: str, stage: object, config: object, parents: object, *, where: str) -> None:
    """Check that ``found`` is the id of this content.

    Raises
    ------
    InputError
        Content of another run, or none that a run can have; the message begins with ``where``.
    """
    try:
        if not _is_shaped(config, parents):
            raise TypeError
        expected = run_id(stage, config, parents)  # type: ignore[arg-type] # any content, until it was hashed
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: not the content of a run (stage, config and parents are expected)") from error
    if expected != found:
        raise InputError(
            f"{where}: its content is not that of run {found}, whose id it lies under, but of {expected}; it was edited"
        )


def _is_shaped(config: Any, parents: Any) -> bool:
    """Whether parents are ids, and each part of the configuration names its recipe."""
    parts = [config[name] for name in ("pretrain", "evaluator") if name in config]
    return (
        isinstance(parents, list | tuple)
        and all(isinstance(parent, str) for parent in parents)
        and all(isinstance(part, Mapping) and isinstance(part["recipe"], Mapping) for part in parts)
    )


def _without_citation(settings: Any) -> Any:
    """Settings without the source of their recipe: a reworded citation makes no other run."""
    if not isinstance(settings, Mapping) or not isinstance(settings.get("recipe"), Mapping):
        return settings
    return {**settings, "recipe": {key: value for key, value in settings["recipe"].items() if key != "source"}}


def _readable(config: Mapping[str, Any]) -> str:
    """``opera-tiny_vit-e10-s0``, after the dataset where a checkpoint is judged on another one."""
    subject = config["pretrain"]
    text = f"{subject['method']}-{subject['backbone']}-e{subject['epochs']}-s{subject['seed']}"
    dataset = config["evaluator"]["dataset"] if "evaluator" in config else subject["dataset"]
    return text if dataset == subject["dataset"] else f"{dataset}-{text}"


def _normalise(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _normalise(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_normalise(item) for item in value]
    # A default of 1 in the code and a 1.0 in a file are the same setting.
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _filename(text: str) -> str:
    return re.sub(r"[^a-z0-9_.-]+", "-", text.lower()).strip("-.") or "run"
