"""ADE20K's scene parsing benchmark (Zhou et al. 2017): a class out of 150 for every pixel.

Layout: ``ADEChallengeData2016/`` as the published archive unpacks it, or the directory itself; see
``pretrain.datasets._ade``.
"""

from __future__ import annotations

from pathlib import Path

from pretrain.datasets._ade import check_ade, open_ade_split
from pretrain.datasets._dense import AnnotatedFiles
from pretrain.datasets.interface import DatasetInfo
from pretrain.errors import InputError

INFO = DatasetInfo(
    name="ade20k",
    version="1",
    title="ADE20K scene parsing (ADEChallengeData2016)",
    num_classes=150,
    sizes={"train": 20_210, "val": 2_000},
    source="http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",
    kind="segmentation",
)


def open_split(root: Path | None, split: str) -> AnnotatedFiles:
    return open_ade_split(INFO, root, split)


def check(root: Path | None) -> list[str]:
    return check_ade(INFO, root)


def prepare(root: Path | None) -> None:
    """Raise an InputError that says what to do, unless the data are right: a person must accept the terms."""
    if problems := check(root):
        raise InputError(
            f"ade20k is not downloaded for you: read its terms at https://groups.csail.mit.edu/vision/datasets/ADE20K, "
            f"fetch {INFO.source} and unpack it here; now: {problems[0]}"
        )
