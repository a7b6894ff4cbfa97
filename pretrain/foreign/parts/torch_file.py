"""Reads files of ``torch.save``, zip archives and the form before torch 1.6, without ``torch.load``."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pretrain.archives import archive_fault
from pretrain.errors import InputError
from pretrain.foreign.parts.pickle_machine import DamagedPickleError, Machine
from pretrain.foreign.parts.references import Storage
from pretrain.wording import listed, printable_name

PICKLE_BYTES = 1 << 24
"""Largest pickle, 16 MiB. It holds names, shapes and plain values; that of a ViT-L with AdamW has 300 KB."""
_OLD_MAGIC = 0x1950A86A20F9469CFC6C
_OLD_PROTOCOL = 1001
_ITEM = struct.Struct("<q")


@dataclass(frozen=True)
class TorchFile:
    """A file's values, with a ``TensorReference`` for each tensor, and a function that reads a storage's bytes."""

    content: Any
    read_storage: Callable[[Storage], bytearray]


def open_torch_file(path: Path) -> TorchFile:
    """Return the file's values; the numbers are read later, storage by storage.

    Raises
    ------
    InputError
        The file is truncated, altered, not of ``torch.save``, or needs more than data to be loaded.
    """
    if fault := archive_fault(path):
        raise InputError(f"{path}: {fault}")
    try:
        return _open_archive(path) if zipfile.is_zipfile(path) else _open_old(path)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except DamagedPickleError as error:
        raise InputError(f"{path}: truncated or no checkpoint that torch reads ({printable_name(error)})") from error
    except Exception as error:  # after a damaged length, seek, struct and zipfile raise many types
        raise InputError(f"{path}: truncated or altered, it can't be read ({type(error).__name__})") from error


def _open_archive(path: Path) -> TorchFile:
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        folders = [name.removesuffix("/data.pkl") for name in names if name.endswith("/data.pkl")]
        if len(folders) != 1 or "/" in folders[0]:
            raise DamagedPickleError("a zip archive without data.pkl")
        (folder,) = folders
        if f"{folder}/constants.pkl" in names:
            raise InputError("refused, a TorchScript program; save its tensors: torch.save(model.state_dict(), …)")
        if f"{folder}/byteorder" in names and archive.read(f"{folder}/byteorder") != b"little":
            raise InputError("refused, its numbers are big-endian; save it on a little-endian machine")
        content = _run(archive.read(_small(archive.getinfo(f"{folder}/data.pkl"))))

    def read_storage(storage: Storage) -> bytearray:
        with zipfile.ZipFile(path) as archive:
            try:
                member = archive.getinfo(f"{folder}/data/{storage.key}")
            except KeyError as error:
                raise InputError(f"{path}: truncated or altered, it has no member data/{storage.key}") from error
            if member.file_size != storage.num_bytes:
                raise InputError(f"{path}: altered, data/{storage.key} has another size than its tensors state")
            return bytearray(archive.read(member))

    return TorchFile(content, read_storage)


def _small(member: zipfile.ZipInfo) -> zipfile.ZipInfo:
    if member.file_size > PICKLE_BYTES:
        raise InputError(
            f"refused, its pickle has {member.file_size:,} bytes; names and shapes need fewer than {PICKLE_BYTES:,}"
        )
    return member


def _open_old(path: Path) -> TorchFile:
    """Read five pickles (magic number, protocol, machine, values, storage keys), then each storage after its length."""
    with path.open("rb") as file:
        head = io.BytesIO(file.read(PICKLE_BYTES))
    if _run(head) != _OLD_MAGIC or _run(head) != _OLD_PROTOCOL:
        raise DamagedPickleError("no file of torch.save")
    machine = _run(head)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise InputError("refused, its numbers are big-endian; save it on a little-endian machine")
    storages: dict[str, Storage] = {}
    content, keys, position = _run(head, storages), _run(head), head.tell()
    if not isinstance(keys, list) or len({str(key) for key in keys}) != len(keys):
        raise DamagedPickleError("no list of storages")
    places: dict[str, int] = {}
    file_bytes = path.stat().st_size
    with path.open("rb") as file:
        for key in map(str, keys):
            file.seek(position)
            length = file.read(_ITEM.size)
            if key not in storages or len(length) != _ITEM.size:
                raise DamagedPickleError("a storage is missing")
            if _ITEM.unpack(length) != (storages[key].numbers,):
                raise DamagedPickleError("a storage of another length than stated")
            places[key] = position + _ITEM.size
            position = places[key] + storages[key].num_bytes
    if position != file_bytes:
        raise DamagedPickleError("its length is not that of its storages")

    def read_storage(storage: Storage) -> bytearray:
        if storage.key not in places:
            raise InputError(f"{path}: truncated or altered, it has no storage {storage.key}")
        with path.open("rb") as file:
            file.seek(places[storage.key])
            return bytearray(file.read(storage.num_bytes))

    return TorchFile(content, read_storage)


def _run(pickled: bytes | io.BytesIO, storages: dict[str, Storage] | None = None) -> Any:
    machine = Machine()
    content = machine.run(io.BytesIO(pickled) if isinstance(pickled, bytes) else pickled)
    if machine.needed:
        raise InputError(
            f"refused, it needs {listed(sorted(machine.needed), 3)} to be loaded, and only tensors are; if you "
            "trust its author, load it where that is safe and save its tensors alone: "
            'torch.save({"state_dict": …}, "new.pth")'
        )
    if storages is not None:
        storages |= machine.storages
    return content
