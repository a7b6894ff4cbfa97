"""Code shared by the datasets' ``open_split``, ``check`` and ``prepare``."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, runtime_checkable

from pretrain.datasets._files import FileImages
from pretrain.datasets.interface import DatasetInfo, LabelledImages, NotPublished
from pretrain.errors import InputError

_DECODED_SAMPLE = 32
_NARROW = 65
"""14-bit values stored in 16 bits stay below this after conversion to 8 bits, rounded or truncated."""
_NARROW_ARE_FAULT = 4
"""If at least 1 in this many decoded deep images is narrow, the split has a fault; few photographs are so dark."""
_NAMED_FILES = 3
_INSPECTING_THREADS = 16


@runtime_checkable
class Inspectable(Protocol):
    """A split whose images can be inspected without decoding them."""

    def __len__(self) -> int: ...

    def inspect(self, index: int) -> bool:
        """Return whether the image's samples have more than 8 bits, according to its header.

        Raises
        ------
        InputError
            The header or the end of the file shows that the image can't be decoded.
        """
        ...


def locate(info: DatasetInfo, root: Path | None, folder: str | None, members: Sequence[str]) -> Path:
    """Return the directory with a dataset's ``members``: ``root/folder`` (as archives unpack) or ``root`` itself.

    Members are names or patterns such as ``*.tar``.

    Raises
    ------
    InputError
        ``root`` is None, missing, unreadable, empty, or has none of the members.
    """
    expected = f"expected a directory with {', '.join(members)}" + (f", or {folder}/ with them" if folder else "")
    if root is None:
        raise InputError(f"dataset {info.name}: no directory given; {expected}")
    try:
        if not any(root.iterdir()):
            raise InputError(f"dataset {info.name}: {root} is empty; {expected}")
        for candidate in ([root / folder] if folder else []) + [root]:
            if any(any(candidate.glob(member)) for member in members):
                return candidate
    except OSError as error:
        raise InputError(f"dataset {info.name}: {root} can't be read ({error.strerror}); {expected}") from error
    raise InputError(f"dataset {info.name}: {root} holds none of its files; {expected}")


def check_split(info: DatasetInfo, split: str, open_split: Callable[[str], LabelledImages]) -> list[str]:
    """Return the faults of a split: its size, missing files, every image's header, and a decoded sample of images."""
    try:
        images = open_split(split)
    except InputError as error:
        return [str(error)]
    return check_images(info, split, images)


def check_files(
    info: DatasetInfo,
    locate_files: Callable[[], Path],
    open_split: Callable[[Path, str], LabelledImages],
    published_md5: Mapping[str, str] | None = None,
    pairing_problems: Callable[[Path], Iterable[str]] = lambda _: (),
) -> list[str]:
    """Return the faults of a dataset: of the files with a published MD5, of each split, and of the labels' pairing."""
    try:
        directory = locate_files()
    except InputError as error:
        return [str(error)]
    problems = []
    for name, md5 in (published_md5 or {}).items():
        problems += checksum_problems(directory / name, md5)
    for split in info.sizes:
        problems += check_split(info, split, functools.partial(open_split, directory))
    try:
        problems += pairing_problems(directory)
    except InputError as error:
        problems.append(str(error))
    return list(dict.fromkeys(problems))


def check_images(info: DatasetInfo, split: str, images: LabelledImages) -> list[str]:
    """Return the faults of an open split; see ``check_split``."""
    problems = size_problems(info, split, len(images))
    missing = _missing_files(images) if isinstance(images, FileImages) else []
    if missing:
        named = ", ".join(map(str, missing[:_NAMED_FILES])) + (", …" if len(missing) > _NAMED_FILES else "")
        problems.append(f"{info.name} {split}: {len(missing):,} listed images are missing ({named})")
        return problems
    if isinstance(images, Inspectable):
        deep: list[int] = []

        def inspect(index: int) -> None:
            if images.inspect(index):
                deep.append(index)

        with ThreadPoolExecutor(_INSPECTING_THREADS) as pool:
            problems += filter(None, pool.map(lambda index: _problem(inspect, index), range(len(images))))
        problems += _narrow_problems(info, split, images, sorted(deep))
    return list(dict.fromkeys(problems + _undecodable(images)))


def size_problems(info: DatasetInfo, split: str, count: int) -> list[str]:
    """Return one sentence if the number of images differs from the published one."""
    published = info.sizes[split]
    if count == published:
        return []
    return [NotPublished(f"{info.name} {split}: {count:,} images, the published split has {published:,}")]


def checksum_problems(path: Path, published_md5: str) -> list[str]:
    """Return one sentence if the file is missing or differs from the published one."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        return [f"{path}: can't be read ({error.strerror})"]
    if found != published_md5:
        return [f"{path}: differs from the published file (MD5 {found}, published {published_md5})"]
    return []


def download(
    info: DatasetInfo, root: Path | None, fetch: Callable[[Path], object], check: Callable[[Path], list[str]]
) -> None:
    """Call ``fetch(root)`` unless the data are complete, then check the result.

    Raises
    ------
    InputError
        ``root`` is None, the download failed, or the result is not the published data.
    """
    if root is None:
        raise InputError(f"dataset {info.name}: no directory given to download it into")
    if not check(root):
        return
    try:
        root.mkdir(parents=True, exist_ok=True)
        fetch(root)
    except Exception as error:  # network, archive and disk raise different errors
        raise InputError(
            f"dataset {info.name}: download into {root} failed ({error}); its home is {info.source}"
        ) from error
    problems = check(root)
    if problems:
        raise InputError(f"dataset {info.name}: damaged after the download: {'; '.join(problems)}")


def _missing_files(images: FileImages) -> list[Path]:
    return [path for path in map(images.path, range(len(images))) if not path.is_file()]


def _narrow_problems(info: DatasetInfo, split: str, images: LabelledImages, deep: Sequence[int]) -> list[str]:
    """Return one sentence if images of more than 8 bits use only the lower bits and would be read as nearly black.

    File headers don't show this: PNG's sBIT and TIFF's tags describe values that fill their samples.
    """
    narrow, decoded = [], 0
    for index in _spread(deep):
        try:
            bands = images.image(index).getextrema()
        except InputError:  # reported by another check
            continue
        decoded += 1
        values = [value for band in bands for value in (band if isinstance(band, tuple) else (band,))]
        # Check the upper end for TIFF files in which 0 is white.
        if max(values) < _NARROW or min(values) >= 256 - _NARROW:
            narrow.append(index)
    if not narrow or len(narrow) * _NARROW_ARE_FAULT < decoded:
        return []
    return [
        f"{info.name} {split}: {images.describe(narrow[0])} has samples of more than 8 bits, but none above a quarter "
        f"of their range, as {len(narrow)} of the {decoded} such images that were decoded. If these are values of "
        "10, 12 or 14 bits in 16-bit samples, they train as nearly black: multiply them by 64, 16 or 4, or convert "
        "them to 8 bits"
    ]


def _undecodable(images: LabelledImages) -> list[str]:
    return [problem for index in _spread(range(len(images))) if (problem := _problem(images.image, index))]


def _spread(indices: Sequence[int]) -> Sequence[int]:
    """Return an evenly spread sample."""
    return indices[:: max(1, len(indices) // _DECODED_SAMPLE)]


def _problem(read: Callable[[int], object], index: int) -> str | None:
    try:
        read(index)
    except InputError as error:
        return str(error)
    return None
