"""Reads the file of an import."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pretrain.config import Normalisation
from pretrain.errors import InputError
from results.record import CheckpointReference

if TYPE_CHECKING:
    from pretrain.foreign.parts.conversion import Checkpoint


def read_source(path: Path, declared: Mapping[str, Any]) -> tuple[Checkpoint, CheckpointReference]:
    """Return the checkpoint that an import declares, and the reference to its file."""
    from pretrain.foreign.parts.conversion import OWN_FORMAT, import_file, read_checkpoint
    from pretrain.foreign.parts.reading import read_foreign

    stated = declared.get("normalisation")
    pixels = None if stated is None else Normalisation.model_validate(stated)
    if declared["format"] == OWN_FORMAT:
        own = read_checkpoint(path, OWN_FORMAT, declared.get("weights"), pixels)
        _require_sha256(path, own.header.sha256, declared)
        return own, CheckpointReference(role="source", path=declared["checkpoint"], sha256=own.header.sha256)
    file = read_foreign(path, declared.get("weights"))
    _require_sha256(path, file.sha256, declared)
    original = CheckpointReference(
        role="source", path=declared["checkpoint"], sha256=file.sha256, weights=file.choice.read.described
    )
    return import_file(file, declared["format"], pixels), original


def _require_sha256(path: Path, found: str, declared: Mapping[str, Any]) -> None:
    if declared["sha256"] not in (None, found):
        raise InputError(f"{path}: its SHA-256 is {found} but the sweep says {declared['sha256']}")
