"""Data that would give a wrong number, or none: ``data check`` names the file, ``run`` refuses before it trains."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pretrain.datasets import NotPublished
from tests.evaluators.dense.faults import FAULTS
from tests.evaluators.dense.stack import needs
from tests.evaluators.dense.variants import SIDE, Tables, write_ade, write_coco

SWEEP = """\
name: dense
pretrain:
  - {{method: moco_v3, backbone: tiny_resnet, dataset: digits, epochs: 1}}
evaluate:
  - {{{evaluator}: {{dataset: {dataset}, recipe: {recipe}}}}}
data:
  {dataset}: {root}
"""
RECIPES = {
    "ade20k": ("segmentation", "segmentation-digits-resnet"),
    "coco": ("detection", "detection-digits"),
}
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@needs("mmseg")
@needs("mmdet")
@pytest.mark.parametrize(("dataset", "name"), FAULTS)
def test_a_fault_is_named_and_keeps_the_run_from_starting(
    dataset: str, name: str, command: Command, tmp_path: Path
) -> None:
    change, expected = FAULTS[dataset, name]
    {"ade20k": write_ade, "coco": write_coco}[dataset](tmp_path / "data", change)
    status, out, _ = command("data", "check", dataset, tmp_path / "data")
    assert status == 1
    assert re.search(expected, out), out
    assert str(tmp_path / "data") in next(line for line in out.splitlines() if re.search(expected, line))
    status, _, err = run(command, dataset, tmp_path)
    assert status == 2, err
    assert re.search(rf"^error: {tmp_path}/data.*: list all: opera-bench data check|^error: .*list all", err, re.M), err
    assert not (tmp_path / "runs").exists()


def run(command: Command, dataset: str, tmp_path: Path, *more: str) -> tuple[int, str, str]:
    evaluator, recipe = RECIPES[dataset]
    sweep = tmp_path / "dense.yaml"
    sweep.write_text(SWEEP.format(evaluator=evaluator, dataset=dataset, recipe=recipe, root=tmp_path / "data"))
    return command("run", sweep, "--yes", "--executor", "inline", "--runs", tmp_path / "runs", *more)


def test_what_is_right_is_left_alone(command: Command, tmp_path: Path) -> None:
    """Small sets, a missing iscrowd and JSON's booleans, RLE as text, and the few empty boxes that COCO has itself."""
    mask_tools = pytest.importorskip("pycocotools.mask")
    drawn = np.zeros((SIDE, SIDE), np.uint8)
    drawn[4:20, 2:14] = drawn[25:, 20:] = 1
    encoded = mask_tools.encode(np.asfortranarray(drawn))

    def change(split: str, tables: Tables) -> None:
        annotations = tables["annotations"]
        del annotations[0]["iscrowd"]
        annotations[1]["iscrowd"] = False
        annotations[2]["segmentation"] = {"size": encoded["size"], "counts": encoded["counts"].decode()}
        annotations += [{**annotations[1], "id": number} for number in range(100, 1100)]
        annotations[-1]["bbox"] = [4, 4, 3, 0]

    write_ade(tmp_path)
    write_coco(tmp_path, change)
    assert command("data", "check", "ade20k", tmp_path)[1].splitlines() == [
        "ade20k train: 4 images, the published split has 20,210",
        "ade20k val: 2 images, the published split has 2,000",
    ]
    assert command("data", "check", "coco", tmp_path)[1].splitlines() == [
        "coco train: 4 images, the published split has 118,287",
        "coco val: 2 images, the published split has 5,000",
    ]


def test_compressed_run_lengths_are_decoded_as_pycocotools_does() -> None:
    mask_tools = pytest.importorskip("pycocotools.mask")
    from pretrain.datasets._coco_entries import _decoded_runs
    from pretrain.datasets._scenes import run_lengths

    generator = np.random.default_rng(0)
    for density in (0.0, 0.01, 0.5, 0.99, 1.0):
        mask = generator.random((90, 70)) < density
        text = mask_tools.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
        assert list(_decoded_runs(text)) == run_lengths(mask)["counts"]


def test_the_names_are_mmdetections() -> None:
    pytest.importorskip("mmdet")
    from evaluators.dense.operators import ensure_operators

    ensure_operators()
    from mmdet.datasets import CocoDataset

    from pretrain.datasets.coco import CATEGORIES

    assert CocoDataset.METAINFO["classes"] == CATEGORIES


def test_a_result_without_faults_is_kept_until_a_file_changes(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.launch.preflight import require_sound_data
    from bench.plan.graph import plan_sweep
    from bench.sweep.errors import InputError
    from bench.sweep.load import load_sweep
    from pretrain.datasets import ade20k

    checked: list[Path | None] = []

    def counted(root: Path | None, original: Callable[..., list[str]] = ade20k.check) -> list[str]:
        checked.append(root)
        return original(root)

    monkeypatch.setattr(ade20k, "check", counted)
    masks = write_ade(tmp_path / "data") / "annotations" / "training"
    sweep = tmp_path / "dense.yaml"
    evaluator, recipe = RECIPES["ade20k"]
    sweep.write_text(SWEEP.format(evaluator=evaluator, dataset="ade20k", recipe=recipe, root=tmp_path / "data"))
    runs = plan_sweep(load_sweep(str(sweep))).runs
    roots = {"ade20k": str(tmp_path / "data")}

    def check() -> int:
        require_sound_data(runs, roots)
        return len(checked)

    assert [check(), check()] == [1, 1]
    (memory,) = (tmp_path / "cache" / "opera-bench" / "checked").iterdir()
    for damage in (b"", b"\xff", b"[]", b'{"sound": 1}', b"[" * 100_000):
        before = len(checked)
        memory.write_bytes(damage)
        assert [check(), check()] == [before + 1, before + 1]
    # The same size and the same modification time: only the time of the inode's change tells.
    path = sorted(masks.iterdir())[0]
    times = path.stat()
    content = path.read_bytes()
    path.write_bytes(content[:-30] + b"?" * 30)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(InputError, match=rf"{path}: can't be decoded as a mask .*list all: opera-bench data"):
        check()
    path.write_bytes(content)
    before = len(checked)
    assert check() == before + 1


def test_a_dry_run_needs_no_data(command: Command, tmp_path: Path) -> None:
    if needs("mmseg").args[0]:
        pytest.skip("MMSegmentation is not installed")
    status, out, err = run(command, "ade20k", tmp_path, "--dry-run")
    assert status == 0, err
    assert "would start" in out


def test_a_broken_jpeg_and_a_fifo_are_named(command: Command, tmp_path: Path) -> None:
    images = write_coco(tmp_path) / "val2017"
    first, second = sorted(images.iterdir())
    first.write_bytes(first.read_bytes()[:-200])
    second.unlink()
    os.mkfifo(second)
    out = command("data", "check", "coco", tmp_path)[1]
    assert f"{first}: can't be decoded as an image (image file is truncated" in out
    assert f"{second}: can't be decoded as an image (not a regular file)" in out


def test_an_image_that_exif_turns_has_the_size_that_the_library_loads(command: Command, tmp_path: Path) -> None:
    folder = write_coco(tmp_path)
    path = folder / "val2017" / f"{1:012d}.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (SIDE, SIDE + 8)).save(path, exif=exif)
    out = command("data", "check", "coco", tmp_path)[1]
    assert f"{path}: has {SIDE + 8}×{SIDE} pixels, but instances_val2017.json says {SIDE}×{SIDE}" in out


def test_names_are_printed_without_control_characters(command: Command, tmp_path: Path) -> None:
    def change(split: str, tables: Tables) -> None:
        tables["images"][0]["file_name"] = "\x1b[31m\ud800.jpg"
        tables["categories"][0]["name"] = "\x1b[31m"

    write_coco(tmp_path, change)
    status, out, _ = command("data", "check", "coco", tmp_path)
    assert status == 1
    assert "\x1b" not in out
    assert r"lists image '\x1b[31m\ud800.jpg'" in out


def test_json_that_asks_for_much_is_refused(command: Command, tmp_path: Path) -> None:
    path = write_coco(tmp_path) / "annotations" / "instances_val2017.json"
    for text in ("[" * 1_000_000, '{"images": ' * 100_000, '{"images": [{"id": ' + "9" * 5000 + "}]}", "[NaN, 1e999]"):
        path.write_text(text)
        status, out, _ = command("data", "check", "coco", tmp_path)
        assert status == 1
        assert str(path) in out
    tables = json.loads((path.parent / "instances_train2017.json").read_text())
    for value in (float("nan"), float("inf"), 10**400, True, "1", None, [], {}):
        tables["annotations"][0]["bbox"] = [1, 1, value, 5]
        path.write_text(json.dumps(tables))
        assert "annotation 1 has no 'bbox' of four numbers" in command("data", "check", "coco", tmp_path)[1]


def test_files_of_another_suffix_and_folders_are_counted(command: Command, tmp_path: Path) -> None:
    ade, coco = write_ade(tmp_path), write_coco(tmp_path)
    for folder, names in {
        ade / "images" / "training": ("b.png", "a.JPG", ".DS_Store"),
        ade / "annotations" / "validation": ("a.jpg",),
        coco / "val2017": ("x.jpeg", "y.txt", "\x1b.png"),
    }.items():
        for name in names:
            (folder / name).touch()
    (ade / "images" / "validation" / "airport").mkdir()
    status, out, _ = command("data", "check", "ade20k", tmp_path)
    assert status == 1
    assert f"{ade}/images/training: 2 entries are not read, such as a.JPG; only .jpg files" in out
    assert f"{ade}/annotations/validation: 1 entry is not read, such as a.jpg; only .png files" in out
    assert f"{ade}/images/validation: 1 entry is not read, such as airport; only .jpg files" in out
    out = command("data", "check", "coco", tmp_path)[1]
    assert f"{coco}/val2017: 3 entries are not read, such as '\\x1b.png'; only .jpg files" in out
    for path in list((coco / "val2017").glob("*.jpg")):
        path.rename(path.with_suffix(".png"))
    out = command("data", "check", "coco", tmp_path)[1]
    assert f"{coco}/val2017: holds no .jpg files; {coco}/val2017: 5 entries are not read, such as '\\x1b.png'" in out


def test_images_without_masks_and_masks_without_images_are_counted(command: Command, tmp_path: Path) -> None:
    ade = write_ade(tmp_path)
    image, mask = (next((ade / kind / "training").iterdir()) for kind in ("images", "annotations"))
    for number in range(30):
        (image.parent / f"alone{number:02}.jpg").write_bytes(image.read_bytes())
        (mask.parent / f"lonely{number:02}.png").write_bytes(mask.read_bytes())
    out = command("data", "check", "ade20k", tmp_path)[1]
    assert (out.count(": has no mask "), out.count(": has no image ")) == (20, 20)
    assert f"{image.parent}: 10 more of this kind" in out
    assert f"{mask.parent}: 10 more of this kind" in out


def test_images_that_the_library_would_not_read_as_they_are_written_are_named(command: Command, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    images = write_ade(tmp_path) / "images" / "training"
    names = [f"ADE_train_{number:08d}.jpg" for number in range(1, 5)]
    deep = np.full((SIDE, SIDE, 3), 4000, np.uint16)
    (images / names[0]).write_bytes(cv2.imencode(".png", deep)[1].tobytes())
    (images / names[1]).write_bytes(cv2.imencode(".png", deep[..., 0])[1].tobytes())
    Image.new("RGB", (SIDE, SIDE)).save(images / names[2], format="GIF")
    Image.new("L", (20_000, 5_000)).save(images / names[3], format="PNG")
    out = command("data", "check", "ade20k", tmp_path)[1]
    for name, reason in zip(
        names,
        ("its samples have more than 8 bits", "its samples have more than 8 bits", "not an image file; allowed: JPEG, ",
         "20000×5000 pixels are more than 89,478,485"),
        strict=True,
    ):  # fmt: skip
        assert f"{images / name}: can't be decoded as an image ({reason}" in out


def test_full_sets_are_checked_in_less_than_five_minutes(tmp_path: Path) -> None:
    """Processor time, from pairs and tables of the published sizes; docs/dense.md has the figures."""
    from pretrain.datasets import ade20k, coco

    generator = np.random.default_rng(0)
    ade = tmp_path / "ADEChallengeData2016"
    for part, number in ((part, number) for part in ("training", "validation") for number in range(20)):
        for kind, suffix in (("images", "jpg"), ("annotations", "png")):
            (ade / kind / part).mkdir(parents=True, exist_ok=True)
            coarse = generator.integers(0, 151, (64, 86), dtype=np.uint8)
            large = Image.fromarray(coarse).resize((683, 512), Image.Resampling.NEAREST)
            large.save(ade / kind / part / f"{number}.{suffix}")

    def change(split: str, tables: Tables) -> None:
        polygon = [round(value, 2) for value in generator.uniform(1, SIDE, 52)]
        first = tables["annotations"][0]
        tables["annotations"] = [{**first, "id": number, "segmentation": [polygon]} for number in range(1, 5001)]

    write_coco(tmp_path, change)
    seconds = {}
    for name, module in (("ade20k", ade20k), ("coco", coco)):
        module.check(tmp_path)
        begun = time.process_time()
        problems = module.check(tmp_path)
        seconds[name] = time.process_time() - begun
        assert all(isinstance(problem, NotPublished) for problem in problems), problems
    assert seconds["ade20k"] / 40 * 22_210 < 300
    assert seconds["coco"] / 10_000 * 896_782 < 300
