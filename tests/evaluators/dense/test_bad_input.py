"""What can't be judged is refused with the name of what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from evaluators.dense.library import what_is_missing
from evaluators.lookup import resolve_evaluation
from pretrain.errors import InputError
from tests.evaluators.conftest import MakeCheckpoint, subject
from tests.evaluators.dense.scenes import configured, evaluate, few_scenes
from tests.evaluators.dense.stack import needs


def test_what_does_not_fit_is_refused_when_planned() -> None:
    with pytest.raises(InputError, match="head: fcn is for a resnet, tiny_vit is a vit; use upernet"):
        configured("segmentation", "tiny_vit", head="fcn")
    with pytest.raises(InputError, match=r"^segmentation: warmup_iterations must be below the 10 iterations$"):
        configured("segmentation", "tiny_vit", iterations=10)
    with pytest.raises(InputError, match=r"out_indices: tiny_vit has 4 blocks; .* from 0 to 3, got 0, 1, 2, 9"):
        configured("segmentation", "tiny_vit", out_indices=[0, 1, 2, 9])
    with pytest.raises(InputError, match=r"out_indices: tiny_resnet has 4 stages; .* from 0 to 3, got 0, 2, 1, 3"):
        configured("segmentation", "tiny_resnet", out_indices=[0, 2, 1, 3])
    for recipe in (None, "detection-r50"):
        with pytest.raises(InputError, match=r"^detection: Mask R-CNN with FPN is for a resnet, vit_small is a vit"):
            resolve_evaluation("detection", subject=subject("vit_small"), options={"dataset": "coco"}, recipe=recipe)
    with pytest.raises(InputError, match="dataset: digits is for classification, evaluator segmentation needs one for"):
        configured("segmentation", "tiny_vit", dataset="digits")
    with pytest.raises(InputError, match="dataset: coco is for detection, evaluator linear needs one for classif"):
        resolve_evaluation("linear", subject=subject(), options={"dataset": "coco"})


def test_where_no_library_is_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluators.dense.library.find_spec", lambda name: None if name == "mmdet" else object())
    assert what_is_missing("mmseg") is None
    assert what_is_missing("mmdet") == (
        "MMDetection can't run in this Python, which lacks mmdet: pip install 'opera-bench[dense]', or OpenMMLab's own "
        "mmengine, mmcv and mmdet"
    )


@needs("mmseg")
def test_a_damaged_segmentation_set_is_named(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    checkpoint = make_checkpoint("tiny_resnet")
    masks = few_scenes(tmp_path, monkeypatch) / "ADEChallengeData2016" / "annotations" / "training"
    damaged = sorted(masks.iterdir())[0]
    values = np.array(Image.open(damaged))
    values[5, 5] = 12
    for path in masks.iterdir():
        Image.fromarray(values).save(path)
    with pytest.raises(InputError, match=r"ADE_train_\d+\.png: contains the value 12; allowed: 0 .*, 1 to 11"):
        evaluate("segmentation", checkpoint, tmp_path / "a")
    damaged.unlink()
    with pytest.raises(InputError, match=rf"images/training/{damaged.stem}\.jpg: has no mask .*{damaged.name}"):
        evaluate("segmentation", checkpoint, tmp_path / "b")


@needs("mmdet")
def test_a_damaged_detection_set_is_named(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = make_checkpoint("tiny_resnet")
    root = few_scenes(tmp_path, monkeypatch) / "coco"
    path = root / "annotations" / "instances_train2017.json"
    whole = path.read_text()
    tables = json.loads(whole)
    (root / "train2017" / tables["images"][1]["file_name"]).rename(tmp_path / "aside.jpg")
    with pytest.raises(InputError, match=r"_train2017\.json: lists image .*0002\.jpg, but the file does not exist"):
        evaluate("detection", checkpoint, tmp_path / "a")
    path.write_text(json.dumps({**tables, "annotations": []}))
    with pytest.raises(InputError, match=r"instances_train2017\.json: its table 'annotations' is empty"):
        evaluate("detection", checkpoint, tmp_path / "b")
    strangers = {**tables, "categories": [{**entry, "name": f"no {entry['name']}"} for entry in tables["categories"]]}
    (tmp_path / "aside.jpg").rename(root / "train2017" / tables["images"][1]["file_name"])
    for split in ("train", "val"):
        part = root / "annotations" / f"instances_{split}2017.json"
        before = part.read_text()
        part.write_text(json.dumps({**json.loads(before), "categories": strangers["categories"]}))
        if split == "train":
            path.write_text(json.dumps(strangers))
        with pytest.raises(InputError, match=rf"instances_{split}2017\.json: has no annotation of the data set's cla"):
            evaluate("detection", checkpoint, tmp_path / split)
        part.write_text(whole if split == "train" else before)
    first, second, *rest = tables["categories"]
    for place, categories in (("swapped", [second, first, *rest]), ("short", [first, *rest])):
        path.write_text(json.dumps({**tables, "categories": categories}))
        problem = rf"own order; where '{first['name'] if place == 'swapped' else second['name']}' belongs there is"
        with pytest.raises(InputError, match=rf"instances_train2017\.json: its table 'categories' .* {problem}"):
            evaluate("detection", checkpoint, tmp_path / place)
    path.write_text(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"instances_train2017\.json: not a readable annotation file"):
        evaluate("detection", checkpoint, tmp_path / "c")


@pytest.mark.parametrize("workers", [0, 1])
@needs("mmseg")
@needs("mmdet")
def test_a_file_that_breaks_off_is_named(
    workers: int, make_checkpoint: MakeCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = make_checkpoint("tiny_resnet")
    scenes = few_scenes(tmp_path, monkeypatch, train=8)
    masks = scenes / "ADEChallengeData2016" / "annotations" / "training"
    for path in masks.iterdir():
        break_off(path)
    with pytest.raises(InputError, match=rf"^{masks}/ADE_train_\d+\.png: can't be decoded as a mask \([^\n]*\)$"):
        evaluate("segmentation", checkpoint, tmp_path / "a", workers=workers)
    for folder in ("ADEChallengeData2016/images/training", "coco/train2017"):
        for path in (scenes / folder).iterdir():
            break_off(path)
    for name in ("segmentation", "detection"):
        with pytest.raises(InputError, match=rf"^{scenes}/\S+\d+\.jpg: can't be decoded as an image \([^\n]*\)$"):
            evaluate(name, checkpoint, tmp_path / name, workers=workers)


def break_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
