"""Foreign files as tensors. Nothing in a file is ever executed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pretrain.archives import archive_fault
from pretrain.checkpoint import BACKBONE_FILE, file_sha256, parse_header
from pretrain.errors import InputError
from pretrain.foreign.interface import Facts, State
from pretrain.foreign.parts.differences import listed
from pretrain.foreign.parts.hub_config import folder_facts
from pretrain.foreign.parts.usable import refuse_unusable

HEADER_KEY = "opera_bench_header"
"""Under this name the files written here carry our header as JSON: in safetensors' metadata or under ``meta``."""
WEIGHTS, CONFIG = "model.safetensors", "config.json"
"""The two files of a Hugging Face folder."""
_NESTED_UNDER = ("state_dict", "model")


@dataclass(frozen=True)
class ForeignFile:
    """A file's tensors as they are named in it, what it says of them, and its SHA-256 (a folder's: of its weights)."""

    path: Path
    state: State
    facts: Facts
    sha256: str


def read_foreign(path: Path) -> ForeignFile:
    """Read a pickled or safetensors file, or a Hugging Face folder.

    Raises
    ------
    InputError
        No such file; truncated, altered, empty or no checkpoint; anything in it beyond tensors and plain values; a
        tensor that is no finite floating-point number.
    """
    weights = path / WEIGHTS if path.is_dir() else path
    if path.is_dir() and not weights.is_file():
        raise InputError(f"{path}: holds neither {BACKBONE_FILE} nor {WEIGHTS}")
    if not weights.is_file():
        raise InputError(f"{weights}: no such checkpoint")
    if weights.suffix == ".safetensors":
        state, facts = _read_safetensors(weights)
    else:
        state, facts = _read_pickle(weights)
    if path.is_dir():
        facts = folder_facts(path / CONFIG, facts)
    refuse_unusable(weights, state)
    return ForeignFile(path, state, facts, file_sha256(weights))


def _read_safetensors(path: Path) -> tuple[State, Facts]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: truncated or no safetensors file ({error})") from error
    return state, _header_facts(path, metadata.get(HEADER_KEY))


def _read_pickle(path: Path) -> tuple[State, Facts]:
    import torch

    if fault := archive_fault(path):
        raise InputError(f"{path}: {fault}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on damaged input torch raises whatever it runs into
        raise InputError(_why_unreadable(path, error)) from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}, not a state dict")
    nested = next((key for key in _NESTED_UNDER if isinstance(content.get(key), dict)), None)
    state = content if nested is None else content[nested]
    meta = content.get("meta")
    facts = _header_facts(path, meta.get(HEADER_KEY) if isinstance(meta, dict) else None)
    epoch = content.get("epoch")
    if facts == Facts() and nested is not None and type(epoch) is int and epoch >= 0:
        facts = Facts(epochs=epoch)
    return state, facts


def _why_unreadable(path: Path, error: Exception) -> str:
    """One sentence: the file needs code that is not run here, or it is damaged."""
    import torch

    try:
        needed = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(str(path)))
    except Exception:  # not a zip archive, or a broken one: then only the error itself can tell
        needed = re.findall(r"GLOBAL (\S+) (?:was not|whose module)", str(error))
    if needed:
        return (
            f"{path}: refused, it needs {listed(needed, 3)} to be loaded, and only tensors are; if you trust its "
            'author, load it where that is safe and save its tensors alone: torch.save({"state_dict": …}, "new.pth")'
        )
    return f"{path}: truncated or no checkpoint that torch reads ({type(error).__name__})"


def _header_facts(path: Path, text: Any) -> Facts:
    """What a file written here says of itself."""
    if text is None:
        return Facts()
    try:
        header = parse_header(text)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: its {HEADER_KEY} is unreadable ({error})") from error
    return Facts(header.num_heads, header.image_size, header.normalisation, header.method, header.epochs)
