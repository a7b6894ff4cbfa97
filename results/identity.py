"""Computes run ids from a run's stage, configuration and parents: equal content gives an equal id on every machine."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from results.errors import InputError

PLUGINS = "plugins"
"""Key in a run's configuration that names the plugin distributions it uses: ``{name: {version, source_sha256}}``."""


_RUN_ID = re.compile(r"([a-z0-9_.-]+?)-[a-z0-9_.-]+-[0-9a-f]{10}")


def stage_of_id(name: str) -> str | None:
    """Return the stage at the start of a run id; None if ``name`` isn't a run id."""
    found = _RUN_ID.fullmatch(name)
    return found and found[1]


def canonical_json(value: Any) -> str:
    """Return the unique JSON text of a value: keys sorted, no spaces, 1.0 written as 1.

    Raises
    ------
    ValueError
        The value holds NaN or an infinity.
    """
    return json.dumps(_normalise(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def run_id(stage: str, config: Mapping[str, Any], parents: Sequence[str]) -> str:
    """Return ``<stage>-<readable>-<10 hex>``; the digits begin the SHA-256 of the canonical JSON of ``identity``.

    Parameters
    ----------
    config
        ``{pretrain: …}``, ``{pretrain: …, import: …}`` or ``{evaluator: …, pretrain: …}``; if plugins compute the
        run, also ``plugins``. All values can be written as JSON.
    """
    digest = hashlib.sha256(canonical_json(identity(stage, config, parents)).encode()).hexdigest()[:10]
    return f"{_filename(stage)}-{_filename(_readable(_normalise(config)))}-{digest}"


def identity(stage: str, config: Mapping[str, Any], parents: Sequence[str]) -> dict[str, Any]:
    """Return the content that a run id hashes: all arguments without the recipes' citations."""
    parts = {part: _without_citation(settings) for part, settings in config.items()}
    return {"stage": stage, "config": parts, "parents": list(parents)}


def require_own_id(found: str, stage: object, config: object, parents: object, *, where: str) -> None:
    """Check that ``found`` is the id of this content.

    Raises
    ------
    InputError
        The content has another id, or isn't the content of a run; the message begins with ``where``.
    """
    try:
        if not _is_shaped(config, parents):
            raise TypeError
        expected = run_id(stage, config, parents)  # type: ignore[arg-type] # run_id raises for content of other types
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: not the content of a run (stage, config and parents are expected)") from error
    if expected != found:
        raise InputError(
            f"{where}: its content is that of run {expected}, but its directory is that of {found}; it was edited"
        )


def _is_shaped(config: Any, parents: Any) -> bool:
    """Return whether parents are strings and each part of the configuration has a recipe."""
    parts = [config[name] for name in ("pretrain", "evaluator") if name in config]
    return (
        isinstance(parents, list | tuple)
        and all(isinstance(parent, str) for parent in parents)
        and all(isinstance(part, Mapping) and isinstance(part["recipe"], Mapping) for part in parts)
    )


def _without_citation(settings: Any) -> Any:
    """Return settings without the source of their recipe, so that a reworded citation doesn't change run ids."""
    if not isinstance(settings, Mapping) or not isinstance(settings.get("recipe"), Mapping):
        return settings
    return {**settings, "recipe": {key: value for key, value in settings["recipe"].items() if key != "source"}}


def _readable(config: Mapping[str, Any]) -> str:
    """Return ``opera-tiny_vit-e10-s0``, preceded by the evaluation's dataset if it isn't the pretraining's."""
    subject = config["pretrain"]
    epochs = "" if subject["epochs"] is None else f"-e{subject['epochs']}"
    text = f"{subject['method']}-{subject['backbone']}{epochs}-s{subject['seed']}"
    dataset = config["evaluator"]["dataset"] if "evaluator" in config else subject["dataset"]
    return text if dataset == subject["dataset"] else f"{dataset}-{text}"


def _normalise(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _normalise(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_normalise(item) for item in value]
    # A default of 1 in the code and 1.0 in a file must give one run id.
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _filename(text: str) -> str:
    return re.sub(r"[^a-z0-9_.-]+", "-", text.lower()).strip("-.") or "run"
