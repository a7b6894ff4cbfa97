"""ImageNet as tar shards and as a Hugging Face dataset on disk, against the class folders they were made from."""

from __future__ import annotations

import importlib.util
import json
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pretrain.datasets import LabelledImages, imagenet
from pretrain.errors import InputError
from tests.pretrain.datasets.writers import WNIDS, write_imagenet_arrow, write_imagenet_shards
from tests.required import missing

LAYOUTS = {"tar": write_imagenet_shards, "arrow": write_imagenet_arrow}


@pytest.fixture
def saved(tmp_path: Path, tree: Path) -> Path:
    needs_pyarrow()
    write_imagenet_arrow(tmp_path / "saved", tree)
    return tmp_path / "saved"


def needs_pyarrow() -> None:
    if importlib.util.find_spec("pyarrow") is None:
        missing("pyarrow", "pyarrow is not installed")


def contents(images: LabelledImages) -> list[tuple[bytes, int]]:
    return [(np.asarray(images.image(i)).tobytes(), images.label(i)) for i in range(len(images))]


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_holds_the_folders_images_in_the_folders_order(
    layout: str, split: str, tree: Path, request: pytest.FixtureRequest
) -> None:
    other = imagenet.open_split(request.getfixturevalue({"tar": "shards", "arrow": "saved"}[layout]), split)
    folders = imagenet.open_split(tree, split)
    assert contents(other) == contents(folders)
    assert other.num_classes == folders.num_classes == len(WNIDS)
    assert other.image(0).mode == "RGB"
    assert contents(pickle.loads(pickle.dumps(other))) == contents(folders), "a spawned worker of a loader gets a copy"


def test_fingerprint_of_shards_follows_the_images_and_not_the_packing(shards: Path, tree: Path, tmp_path: Path) -> None:
    write_imagenet_shards(tmp_path / "larger", tree, images_per_shard=7)
    one, other = (imagenet.open_split(root, "train") for root in (shards, tmp_path / "larger"))
    assert one.fingerprint() == other.fingerprint()
    assert one.fingerprint() != imagenet.open_split(shards, "val").fingerprint()


def test_fingerprint_of_a_saved_dataset_follows_its_content(saved: Path, tree: Path, tmp_path: Path) -> None:
    write_imagenet_arrow(tmp_path / "again", tree, images_per_file=5)
    one, other = (imagenet.open_split(root, "train") for root in (saved, tmp_path / "again"))
    assert one.fingerprint() == other.fingerprint()
    assert one.fingerprint() != imagenet.open_split(saved, "val").fingerprint()


def test_folders_go_before_the_archives_they_were_unpacked_from(tree: Path) -> None:
    (tree / "ILSVRC2012_img_train.tar").touch()
    assert len(imagenet.open_split(tree, "train")) == 9


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_whole_set_of_the_published_size_checks_well(
    layout: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = request.getfixturevalue({"tar": "shards", "arrow": "saved"}[layout])
    assert imagenet.check(root) == [
        "imagenet train: 9 images, the published split has 1,281,167",
        "imagenet train: images of 3 classes, there should be 1,000",
        "imagenet val: 6 images, the published split has 50,000",
        "imagenet val: images of 3 classes, there should be 1,000",
    ]
    monkeypatch.setattr(imagenet, "INFO", replace(imagenet.INFO, num_classes=3, sizes={"train": 9, "val": 6}))
    assert imagenet.check(root) == []


# Hugging Face datasets


def test_a_truncated_arrow_file_is_named(saved: Path) -> None:
    path = saved / "train" / "data-00001-of-00003.arrow"
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(InputError, match=r"data-00001-of-00003\.arrow: can't be read"):
        imagenet.open_split(saved, "train")


def test_a_missing_arrow_file_is_named(saved: Path) -> None:
    (saved / "train" / "data-00002-of-00003.arrow").unlink()
    with pytest.raises(InputError, match=r"data-00002-of-00003\.arrow: can't be read"):
        imagenet.open_split(saved, "train")


def test_a_missing_split_or_description_is_named(saved: Path) -> None:
    (saved / "train" / "state.json").write_text(json.dumps({}))
    with pytest.raises(InputError, match=r"state\.json: lists no _data_files"):
        imagenet.open_split(saved, "train")
    (saved / "validation").rename(saved / "test")
    with pytest.raises(InputError, match="has no split val; expected a folder validation or val"):
        imagenet.open_split(saved, "val")


def test_labels_without_names_and_labels_out_of_range_are_refused(saved: Path) -> None:
    information = saved / "train" / "dataset_info.json"
    content = json.loads(information.read_text())
    content["features"]["label"]["names"] = list(WNIDS[:2])
    information.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"data-00001-of-00003\.arrow, row 2: label 2; allowed: 0…1"):
        imagenet.open_split(saved, "train")
    content["features"]["label"] = {"dtype": "int64", "_type": "Value"}
    information.write_text(json.dumps(content))
    with pytest.raises(InputError, match="features has no ClassLabel 'label' with names"):
        imagenet.open_split(saved, "train")


def test_images_that_are_only_named_are_refused(saved: Path) -> None:
    import pyarrow as pa

    schema = pa.schema({"image": pa.struct({"bytes": pa.binary(), "path": pa.string()}), "label": pa.int64()})
    path = saved / "train" / "data-00000-of-00003.arrow"
    rows = [{"image": {"bytes": None, "path": "elsewhere/a.JPEG"}, "label": 0}]
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema))
    with pytest.raises(InputError, match="1 of its images have a path and no bytes"):
        imagenet.open_split(saved, "train")


def test_another_column_of_labels_is_refused(saved: Path) -> None:
    import pyarrow as pa

    path = saved / "train" / "data-00000-of-00003.arrow"
    table = pa.table({"pixels": [1], "fine_label": [1]})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(InputError, match="has no column 'label'; its columns: pixels, fine_label"):
        imagenet.open_split(saved, "train")


def test_parquet_files_are_explained(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train-00000-of-00294.parquet").touch()
    with pytest.raises(InputError, match=r"save them once as Arrow: datasets\.load_dataset"):
        imagenet.open_split(tmp_path, "train")
    assert len(imagenet.check(tmp_path)) == 1


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dataset_dict.json").touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'opera-bench\[arrow\]'"):
        imagenet.open_split(tmp_path, "train")
