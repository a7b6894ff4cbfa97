"""Writes files and folders completely or not at all."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pretrain.checkpoint import CheckpointHeader
from pretrain.errors import InputError
from pretrain.foreign.interface import Exported, State
from pretrain.foreign.parts.reading import CONFIG, HEADER_KEY, WEIGHTS, read_foreign


def refuse_existing(out: Path) -> None:
    """Check that ``out`` can be created.

    Raises
    ------
    InputError
        ``out`` exists, or is not a possible file name.
    """
    try:
        exists = out.exists() or out.is_symlink()
    except OSError as error:
        raise InputError(f"{out}: can't be written ({error.strerror})") from error
    if exists:
        raise InputError(f"{out}: exists already; remove it or name another")


@contextmanager
def new_path(out: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``out``, renamed to ``out`` after the block, or removed if the block raises.

    Raises
    ------
    InputError
        ``out`` exists, or its directory is not writable.
    """
    # Keep the ending: it selects the format for writing and reading.
    temporary = out.with_name(f".{out.stem}.{os.getpid()}{out.suffix}")
    refuse_existing(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.rename(out)
        finally:
            _remove(temporary)
    except OSError as error:
        raise InputError(f"{out}: can't be written ({error.strerror or error})") from error


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_file(path: Path, exported: Exported, header: CheckpointHeader) -> None:
    """Write weights as safetensors or pickle, by the path's ending, with our header; read them back and compare."""
    import torch
    from safetensors.torch import save

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in exported.state.items()}
    carried = {HEADER_KEY: header.sealed().model_dump_json()}
    if path.suffix == ".safetensors":
        content = save(state, metadata={"format": "pt", **carried})
    else:
        buffer = io.BytesIO()
        torch.save({"state_dict": state, "meta": carried}, buffer)
        content = buffer.getvalue()
    # Write the bytes here: the errors of both libraries don't mention a full disk.
    path.write_bytes(content)
    _flush(path)
    _assert_same(read_foreign(path).state, state, path)


def write_folder(path: Path, exported: Exported, header: CheckpointHeader) -> None:
    """Write a Hugging Face folder: ``config.json`` and the weights."""
    path.mkdir()
    (path / CONFIG).write_text(json.dumps(exported.config, indent=2) + "\n", encoding="utf-8")
    _flush(path / CONFIG)
    write_file(path / WEIGHTS, exported, header)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _assert_same(found: State, expected: State, path: Path) -> None:
    if found.keys() != expected.keys() or not all(found[name].equal(expected[name]) for name in expected):
        raise OSError(f"{path.name} reads back differently from what was written; is the disk damaged?")
