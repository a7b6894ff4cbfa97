"""Sweeps and commands on own images: ids, changed files, --tiny, and what the commands say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.launch.jobs import write_configs
from bench.plan.graph import plan_sweep
from bench.sweep.load import load_sweep
from pretrain.errors import InputError
from tests.conftest import Ended
from tests.pretrain.datasets.writers import write_noise

SWEEP = """\
name: mine
data: {{{data}}}
pretrain:
  - {{method: moco_v3, backbone: tiny_vit, dataset: [{datasets}]}}
evaluate:
  - probe
"""


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_images(tmp_path / "mine", seed=0)


def write_images(root: Path, *, seed: int) -> Path:
    for label, name in enumerate(("cat", "dog")):
        for index in range(5):
            write_noise(root / name / f"{index}.png", seed=seed + 10 * label + index)
    return root


def sweep_of(write_sweep: Callable[..., Path], **roots: Path) -> str:
    data = ", ".join(f"{name}: {root}" for name, root in roots.items())
    return str(write_sweep(SWEEP.format(data=data, datasets=", ".join(roots))))


def ids_of(sweep: str) -> tuple[str, ...]:
    return plan_sweep(load_sweep(sweep)).run_ids


def test_a_moved_directory_keeps_its_ids_and_a_changed_one_gets_others(write_sweep, images, tmp_path) -> None:
    before = ids_of(sweep_of(write_sweep, folder=images))
    moved = images.rename(tmp_path / "moved")
    sweep = sweep_of(write_sweep, folder=moved)
    assert ids_of(sweep) == before
    write_noise(moved / "cat" / "new.png", seed=99)
    assert not set(ids_of(sweep)) & set(before)


def test_two_directories_never_share_a_run(write_sweep, images, tmp_path) -> None:
    other = write_images(tmp_path / "other", seed=50)
    first, second = (ids_of(sweep_of(write_sweep, folder=root)) for root in (images, other))
    assert not set(first) & set(second)
    both = ids_of(sweep_of(write_sweep, folder_mine=images, folder_other=other))
    assert len(set(both)) == 4


def test_a_batch_is_fitted_to_the_images_and_the_plan_says_so(write_sweep, images) -> None:
    pretraining = plan_sweep(load_sweep(sweep_of(write_sweep, folder=images))).runs[0]
    assert pretraining.config["pretrain"]["global_batch_size"] == 8
    assert "(global_batch_size 8)" in pretraining.title
    assert pretraining.config["pretrain"]["dataset_version"].startswith("2 classes, 8 train, 2 val, ")


def test_missing_directories_and_unknown_names_are_bad_input(command, write_sweep, images) -> None:
    text = SWEEP.format(data="", datasets="folder")
    ended = command("plan", write_sweep(text))
    assert (ended.status, "small.yaml:4: dataset folder: no directory given" in ended.err) == (2, True)
    ended = command("plan", sweep_of(write_sweep, foldr=images))
    assert (ended.status, "unknown dataset 'foldr'; did you mean 'folder'" in ended.err) == (2, True)
    ended = command("plan", sweep_of(write_sweep, folder=images / "nowhere"))
    assert (ended.status, "nowhere is not a directory" in ended.err) == (2, True)


def test_files_that_changed_after_planning_stop_the_run(write_sweep, images, engine, tmp_path) -> None:
    from bench.worker.run_job import execute

    run = plan_sweep(load_sweep(sweep_of(write_sweep, folder=images))).runs[0]
    write_configs([run], tmp_path / "runs")
    write_noise(images / "cat" / "new.png", seed=99)
    with pytest.raises(InputError, match="was planned with other files in"):
        execute(str(tmp_path / "runs" / run.run_id), "cpu", 0, {"folder": str(images)})
    assert not engine.trained


def test_pretrain_without_a_sweep_makes_the_run_of_the_sweep(command, write_sweep, images, engine, tmp_path) -> None:
    runs = tmp_path / "runs"
    ended: Ended = command(
        *("pretrain", "--method", "moco_v3", "--backbone", "tiny_vit", "--dataset", "folder", "--data", images),
        *("--runs", runs, "--device", "cpu"),
    )
    assert ended.status == 0, ended.err
    assert ended.out.splitlines()[0] == ids_of(sweep_of(write_sweep, folder=images))[0]
    judged = command("evaluate", "probe", engine.trained[0], "--data", images, "--runs", runs, "--device", "cpu")
    assert judged.status == 0, judged.err
    assert judged.out.splitlines()[0] == ids_of(sweep_of(write_sweep, folder=images))[1]
    without = command("evaluate", "probe", engine.trained[0], "--runs", runs)
    assert (without.status, "dataset folder: no directory given" in without.err) == (2, True)
    ended = command("evaluate", "probe", engine.trained[0], "--as", "epochs=3", "--data", images, "--runs", runs)
    assert (ended.status, "leave them out for a run" in ended.err) == (2, True)
    ended = command("evaluate", "probe", tmp_path / "no.pth", "--data", images, "--runs", runs)
    assert (ended.status, "no.pth: no such file or folder" in ended.err) == (2, True)


def test_data_alone_is_refused_where_it_could_be_the_pretrainings_directory(command, images, engine, tmp_path) -> None:
    runs, shared = tmp_path / "runs", ("--data", images, "--runs", tmp_path / "runs", "--device", "cpu")
    ended: Ended = command(
        "pretrain", "--method", "moco_v3", "--backbone", "tiny_vit", "--dataset", "folder_birds", *shared
    )
    assert ended.status == 0, ended.err
    for evaluator in ("probe", "all"):
        refused = command("evaluate", evaluator, engine.trained[0], *shared)
        assert (refused.status, "add --dataset folder_birds or --dataset folder" in refused.err) == (2, True)
    named = command("evaluate", "probe", engine.trained[0], "--dataset", "folder_birds", *shared)
    assert (named.status, len(list(runs.glob("probe-*/record.json")))) == (0, 1), named.err


def test_data_check_says_how_the_directory_is_read(command, images) -> None:
    ended = command("data", "check", "folder", images)
    assert ended.status == 0
    assert "images: train 8, val 2" in ended.out
    write_noise(images / "loose.png", seed=1)
    ended = command("data", "check", "folder", images)
    assert (ended.status, "lie outside the class folders" in ended.out) == (1, True)


TINY = """\
name: mine
data: {{folder: {root}, folder_b: {root}}}
pretrain:
  - {{method: moco_v3, backbone: {backbone}, dataset: {dataset}}}
evaluate:
  - probe
  - {{probe: {{dataset: folder_b}}}}
"""


@pytest.mark.parametrize(("backbone", "dataset"), [("vit_small", "folder"), ("tiny_vit", "digits")])
def test_tiny_takes_a_sample_of_own_images(write_sweep, images, backbone, dataset) -> None:
    sweep = load_sweep(str(write_sweep(TINY.format(root=images, backbone=backbone, dataset=dataset))), tiny=True)
    assert sweep.file.data == {"tiny_folder": str(images), "tiny_folder_b": str(images)}
    runs = plan_sweep(sweep).runs
    assert {run.config["pretrain"]["backbone"] for run in runs} == {"tiny_vit"}
    expected = "digits" if dataset == "digits" else "tiny_folder"
    assert {run.dataset for run in runs} == {expected, "tiny_folder_b"}


def test_tiny_refuses_an_import_whose_images_it_can_not_shrink(command, write_sweep, images) -> None:
    text = f"""\
name: mine
data: {{folder: {images}}}
pretrain:
  - checkpoint: a.pth
    format: timm
    as: {{method: mine, backbone: vit_small, epochs: null, batch_size: null, dataset: folder}}
evaluate: [probe]
"""
    ended = command("plan", write_sweep(text), "--tiny")
    assert (ended.status, "small.yaml:6: --tiny can't shrink an imported checkpoint" in ended.err) == (2, True)
    planned = command("plan", write_sweep(text))
    assert planned.status == 0, planned.err
    assert "epochs unknown" in planned.out
