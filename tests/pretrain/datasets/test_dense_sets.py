"""The layouts of ADE20K and COCO: what is read, what is refused, and the scenes that are drawn in both."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pretrain.datasets import find_dataset, open_any_split, open_split
from pretrain.datasets._scenes import CONTENT_SHA256, SIZES, content_sha256, draw_scenes, scenes_directory
from pretrain.datasets.coco import CATEGORIES
from pretrain.errors import InputError
from tests.pretrain.datasets.writers import write_noise

PARTS = {"train": "training", "val": "validation"}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write_ade(root: Path, count: int = 2) -> Path:
    """``ADEChallengeData2016/`` with ``count`` images a split; returns it."""
    folder = root / "ADEChallengeData2016"
    for part in PARTS.values():
        for number in range(1, count + 1):
            write_noise(folder / "images" / part / f"ADE_{number:08d}.jpg", seed=number)
            mask = np.random.default_rng(number).integers(0, 151, (14, 20), dtype=np.uint8)
            path = folder / "annotations" / part / f"ADE_{number:08d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(path)
    return folder


def write_coco(root: Path, count: int = 2) -> Path:
    """``coco/`` with ``count`` images a split and one object in each; returns it."""
    folder = root / "coco"
    (folder / "annotations").mkdir(parents=True)
    for split in PARTS:
        for number in range(1, count + 1):
            write_noise(folder / f"{split}2017" / f"{number:012d}.jpg", seed=number)
        ids = range(1, count + 1)
        tables: dict[str, Any] = {
            "images": [{"id": n, "file_name": f"{n:012d}.jpg", "height": 14, "width": 20} for n in ids],
            "annotations": [annotation(n, n) for n in ids],
            "categories": [{"id": n, "name": name} for n, name in enumerate(CATEGORIES, start=1)],
        }
        (folder / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(tables))
    return folder


def annotation(number: int, image: int, **changed: Any) -> dict[str, Any]:
    return {
        "id": number, "image_id": image, "category_id": 1, "bbox": [1, 1, 5, 5], "area": 25, "iscrowd": 0,
        "segmentation": [[1, 1, 6, 1, 6, 6, 1, 6]], **changed,
    }  # fmt: skip


def test_ade_is_read_from_its_folder_and_from_above_it(tmp_path: Path) -> None:
    folder = write_ade(tmp_path)
    above, inside = (open_any_split("ade20k", root, "train") for root in (tmp_path, folder))
    assert len(above) == 2
    assert above.fingerprint() == inside.fingerprint() != open_any_split("ade20k", folder, "val").fingerprint()
    # Small, and otherwise right.
    assert find_dataset("ade20k").check(tmp_path) == [
        "ade20k train: 2 images, the published split has 20,210",
        "ade20k val: 2 images, the published split has 2,000",
    ]


def test_a_dense_set_is_not_for_pretraining(tmp_path: Path) -> None:
    write_ade(tmp_path)
    with pytest.raises(InputError, match="dataset ade20k: is for segmentation, its images have no class labels"):
        open_split("ade20k", tmp_path, "train")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda ade: (ade / "annotations/training/ADE_00000002.png").unlink(), r"ADE_00000002\.jpg: has no mask"),
        (lambda ade: (ade / "images/training/ADE_00000002.jpg").unlink(), r"ADE_00000002\.png: has no image"),
        (
            lambda ade: overwrite(ade, np.full((14, 20), 151)),
            r"ADE_00000001\.png: contains the value 151; allowed: 0 .* 1 to 150",
        ),
        (
            lambda ade: overwrite(ade, np.ones((20, 14))),
            r"ADE_00000001\.png: has 14×20 pixels, but its image has 20×14",
        ),
        (
            lambda ade: overwrite(ade, np.ones((14, 20, 3))),
            r"ADE_00000001\.png: has 3 channels; a mask has one channel of 8 bits",
        ),
        (lambda ade: (ade / "annotations/training/ADE_00000001.png").write_bytes(b"?"), "can't be decoded as a mask"),
    ],
)
def test_damage_to_ade_is_named(tmp_path: Path, damage: Callable[[Path], object], expected: str) -> None:
    damage(write_ade(tmp_path))
    problems = "\n".join(find_dataset("ade20k").check(tmp_path))
    assert re.search(expected, problems), problems


def test_every_fault_of_ade_is_a_line(tmp_path: Path) -> None:
    ade = write_ade(tmp_path, count=6)
    images, masks = ade / "images" / "training", ade / "annotations" / "training"
    for number in (1, 2):
        (masks / f"ADE_{number:08d}.png").unlink()
    (images / "ADE_00000003.jpg").unlink()
    for number in (1, 2, 4, 5):
        (ade / "annotations" / "validation" / f"ADE_{number:08d}.png").write_bytes(b"?")
    problems = find_dataset("ade20k").check(tmp_path)
    expected = [
        "ade20k train: 5 images, the published split has 20,210",
        *(f"{images}/ADE_0000000{n}.jpg: has no mask {masks}/ADE_0000000{n}.png" for n in (1, 2)),
        f"{masks}/ADE_00000003.png: has no image {images}/ADE_00000003.jpg",
        "ade20k val: 6 images, the published split has 2,000",
    ]
    assert problems[:5] == expected
    damaged = [Path(problem.partition(": can't be decoded as a mask")[0]).name for problem in problems[5:]]
    assert damaged == [f"ADE_0000000{n}.png" for n in (1, 2, 4, 5)]


def test_what_is_missing_from_ade_does_not_hide_the_rest(tmp_path: Path) -> None:
    ade = write_ade(tmp_path)
    shutil.rmtree(ade / "images" / "training")
    (ade / "annotations" / "validation" / "ADE_00000001.png").write_bytes(b"?")
    problems = find_dataset("ade20k").check(tmp_path)
    assert [problem.partition(": ")[2][:13] for problem in problems] == [
        "can't be read",
        "2 images, the",
        "can't be deco",
    ]


def overwrite(ade: Path, mask: Any) -> None:
    Image.fromarray(mask.astype(np.uint8)).save(ade / "annotations/training/ADE_00000001.png")


def test_coco_is_read(tmp_path: Path) -> None:
    folder = write_coco(tmp_path)
    before = open_any_split("coco", tmp_path, "train").fingerprint()
    assert len(open_any_split("coco", folder, "train")) == 2
    assert find_dataset("coco").check(tmp_path) == [
        "coco train: 2 images, the published split has 118,287",
        "coco val: 2 images, the published split has 5,000",
    ]
    path = folder / "annotations" / "instances_train2017.json"
    path.write_text(path.read_text().replace('"bbox": [1, 1, 5, 5]', '"bbox": [1, 1, 5, 6]', 1))
    assert open_any_split("coco", tmp_path, "train").fingerprint() != before


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"annotations": []}, r"train2017\.json: its table 'annotations' is empty"),
        ({"categories": None}, r"train2017\.json: has no table 'categories'"),
        (
            {"images": [{"id": 1, "file_name": "gone.jpg", "height": 14, "width": 20}]},
            r"lists image gone\.jpg, but there is no such file in .*train2017",
        ),
        ({"images": [{"id": 1, "file_name": "a.jpg"}]}, "entry 0 of 'images' lacks 'height', 'width'"),
        ({"annotations": [annotation(9, 77)]}, "annotation 9 has image_id 77, which is not in the table 'images'"),
        ({"annotations": [annotation(9, 1, category_id=81)]}, "annotation 9 has category_id 81, which is not in the"),
        ({"annotations": [{"id": 9}]}, "annotation 9 lacks 'image_id', 'category_id'"),
        (
            {"categories": [{"id": 1, "name": "person"}]},
            "must list the 80 classes in order, but has nothing where 'bicycle' belongs",
        ),
    ],
)
def test_damage_to_coco_is_named(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    path = write_coco(tmp_path) / "annotations" / "instances_train2017.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    problems = "\n".join(find_dataset("coco").check(tmp_path))
    assert re.search(expected, problems), problems


def test_every_fault_of_coco_is_a_line(tmp_path: Path) -> None:
    coco = write_coco(tmp_path, count=4)
    for number in (1, 2):
        (coco / "train2017" / f"{number:012d}.jpg").unlink()
    path = coco / "annotations" / "instances_train2017.json"
    tables = json.loads(path.read_text())
    tables["images"] = [image for image in tables["images"] if image["id"] != 4]
    tables["annotations"] += [{"id": 9}, annotation(10, 1, category_id=81)]
    path.write_text(json.dumps(tables))
    other = coco / "annotations" / "instances_val2017.json"
    other.write_text(json.dumps({"images": []}))
    assert find_dataset("coco").check(tmp_path) == [
        "coco train: 2 images, the published split has 118,287",
        *(f"{path}: lists image 00000000000{n}.jpg, but there is no such file in {coco / 'train2017'}" for n in (1, 2)),
        f"{path}: does not list image 000000000004.jpg",
        f"{path}: annotation 4 has image_id 4, which is not in the table 'images'",
        f"{path}: annotation 9 lacks 'image_id', 'category_id'",
        f"{path}: annotation 10 has category_id 81, which is not in the table 'categories'",
        "coco val: 4 images, the published split has 5,000",
        f"{other}: its table 'images' is empty",
        f"{other}: has no table 'annotations'; a COCO annotation file has images, annotations, categories",
        f"{other}: has no table 'categories'; a COCO annotation file has images, annotations, categories",
    ]


def test_the_scenes_are_the_published_ones() -> None:
    """A change needs new versions of both sets. Regenerate with

    python -c "from pretrain.datasets._scenes import *
    print(content_sha256(scene for split in SIZES for scene in draw_scenes(split)))"
    """
    assert content_sha256(scene for split in SIZES for scene in draw_scenes(split)) == CONTENT_SHA256


def test_both_layouts_hold_the_scenes() -> None:
    """Masks and COCO's polygons and run lengths, read back by the tools that the libraries use."""
    coco_tools = pytest.importorskip("pycocotools.coco")
    directory = scenes_directory()
    scenes = draw_scenes("val")
    masks = sorted((directory / "ADEChallengeData2016/annotations/validation").iterdir())
    coco = coco_tools.COCO(str(directory / "coco/annotations/instances_val2017.json"))
    for number, (scene, path) in enumerate(zip(scenes, masks, strict=True), start=1):
        assert np.array_equal(np.asarray(Image.open(path)), scene.mask)
        found = coco.imgToAnns[number]
        for annotation, (label, silhouette) in zip(found, scene.digits, strict=True):
            assert annotation["category_id"] == label + 1
            assert np.array_equal(coco.annToMask(annotation).astype(bool), silhouette)
            assert (scene.mask[silhouette] == label + 2).all()
    kinds = {type(annotation["segmentation"]) for annotation in coco.dataset["annotations"]}
    assert kinds == {list, dict}


@pytest.mark.parametrize("name", ["digit_scenes", "digit_objects"])
def test_the_scenes_are_drawn_once_and_verified(name: str) -> None:
    module = find_dataset(name)
    assert module.check(None) == []
    fingerprint = open_any_split(name, None, "train").fingerprint()
    image = next(scenes_directory().rglob("*.jpg"))
    written = image.stat().st_mtime_ns
    assert open_any_split(name, None, "train").fingerprint() == fingerprint
    assert image.stat().st_mtime_ns == written
    image.write_bytes(image.read_bytes()[:-1])
    with pytest.raises(InputError, match=f"{image.name}: altered; delete .*digit-scenes-1 to have it drawn again"):
        open_any_split(name, None, "train")
