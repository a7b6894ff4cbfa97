"""Oxford-IIIT Pets (Parkhi et al. 2012): 37 breeds of cats and dogs.

``train`` is the published trainval list, ``val`` the published test list.

Layout: ``images/<name>.jpg``, ``annotations/trainval.txt`` and ``annotations/test.txt`` with one line per image,
``<name> <class from 1> <species> <breed within the species>``, in the root or in ``oxford-iiit-pet/`` below it.
"""

from __future__ import annotations

from array import array
from pathlib import Path

from pretrain.datasets._checks import check_files, download, locate
from pretrain.datasets._files import FileImages, PackedPaths
from pretrain.datasets.interface import DatasetInfo
from pretrain.errors import InputError

INFO = DatasetInfo(
    name="pets",
    version="1",
    title="Oxford-IIIT Pets",
    num_classes=37,
    sizes={"train": 3_680, "val": 3_669},
    source="https://www.robots.ox.ac.uk/~vgg/data/pets/",
)

_LISTS = {"train": "trainval.txt", "val": "test.txt"}


def open_split(root: Path | None, split: str) -> FileImages:
    directory = _locate(root)
    rows = _read_list(directory, split)
    return FileImages(
        directory,
        PackedPaths(f"images/{name}.jpg" for name, _ in rows),
        array("q", (label for _, label in rows)),
        INFO.num_classes,
        sources=(f"annotations/{_LISTS[split]}",),
    )


def check(root: Path | None) -> list[str]:
    return check_files(INFO, lambda: _locate(root), open_split, pairing_problems=_pairing_problems)


def prepare(root: Path | None) -> None:
    """Download and unpack the published archives (811 MB) into ``oxford-iiit-pet/`` below ``root``."""
    from torchvision.datasets import OxfordIIITPet

    download(INFO, root, lambda directory: OxfordIIITPet(directory, download=True), check)


def _locate(root: Path | None) -> Path:
    return locate(INFO, root, "oxford-iiit-pet", ("images", "annotations"))


def _pairing_problems(directory: Path) -> list[str]:
    """Return sentences on breeds with two labels, a sign of a damaged list: an image's name begins with its breed."""
    problems = []
    rows = {split: _read_list(directory, split) for split in _LISTS}
    breed_of: dict[int, str] = {}
    for split, pairs in rows.items():
        for name, label in pairs:
            breed = name.rpartition("_")[0]
            if breed_of.setdefault(label, breed) != breed:
                path = directory / "annotations" / _LISTS[split]
                problems.append(f"{path}: {name} has class {label + 1}, which is {breed_of[label]} elsewhere")
                break
    if shared := {name for name, _ in rows["train"]} & {name for name, _ in rows["val"]}:
        problems.append(f"{directory / 'annotations'}: {min(shared)} is in both trainval.txt and test.txt")
    return problems


def _read_list(directory: Path, split: str) -> list[tuple[str, int]]:
    """Return image names and labels (from 0), in the list's order."""
    path = directory / "annotations" / _LISTS[split]
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: can't be read ({error})") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        fields = line.split()
        if len(fields) != 4 or not fields[1].isdecimal() or not 1 <= int(fields[1]) <= INFO.num_classes:
            raise InputError(
                f"{path}, line {number}: {line!r} is not '<name> <class> <species> <breed>' with a class of "
                f"1…{INFO.num_classes}"
            )
        rows.append((fields[0], int(fields[1]) - 1))
    if not rows:
        raise InputError(f"{path}: lists no images")
    return rows
