"""The engine: exact continuation after a kill, and clear ends when something is wrong."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from pretrain.checkpoint import load_backbone, load_state, save_checkpoint
from pretrain.config import PretrainConfig
from pretrain.datasets import find_dataset, open_split
from pretrain.engine import NonFiniteLossError, PretrainOutcome, discard_training_state, pretrain
from pretrain.engine.loader import CroppedViews, RawBatch, batches, epoch_visits
from pretrain.engine.state import load_training_state
from pretrain.errors import InputError
from pretrain.views.evaluation import centre_crop_transform, normalise
from results.runs import read_json_lines


def tiny_config(**changes: Any) -> PretrainConfig:
    """OPERA on a tiny ResNet (it has batch normalisation everywhere) and 8-pixel digits, a second or so an epoch."""
    info = find_dataset("digits").INFO
    view = {"crop_scale": (0.5, 1.0), "color_jitter": (0.4, 0.4, 0.0, 0.0), "blur_probability": 0.5}
    settings: dict[str, Any] = {
        "method": "opera",
        "method_options": {"mlp_dimension": 32, "embedding_dimension": 16, "hidden_dimension": 16},
        "backbone": "tiny_resnet",
        "dataset": "digits",
        "dataset_version": info.version,
        "image_size": 8,
        "global_batch_size": 128,
        "epochs": 3,
        "optimizer": {"name": "adamw", "base_learning_rate": 1e-3, "weight_decay": 0.05, "warmup_epochs": 1},
        "views": [view, {**view, "solarize_probability": 0.2}],
        "normalisation": {"mean": info.mean, "std": info.std},
        "recipe": {"id": "test", "version": 1, "source": "this file"},
        "seed": 0,
    }
    return PretrainConfig.model_validate({**settings, **changes})


def run(config: PretrainConfig, directory: Path, rows: list[dict[str, Any]] | None = None) -> PretrainOutcome:
    def report(*, epoch: float, total_epochs: float, values: Mapping[str, float]) -> None:
        if rows is not None:
            rows.append({"epoch": epoch, **values})

    torch.set_num_threads(1)
    return pretrain(config, run_directory=directory, data_root=None, device="cpu", num_workers=0, report=report)


def child(config: PretrainConfig, directory: Path) -> None:
    def report(*, epoch: float, total_epochs: float, values: Mapping[str, float]) -> None:
        with (directory / "steps.jsonl").open("a") as file:
            file.write(json.dumps({"pid": os.getpid(), "step": round(10 * epoch)}) + "\n")

    torch.set_num_threads(1)
    pretrain(config, run_directory=directory, data_root=None, device="cpu", num_workers=0, report=report)


def same_views(batch: RawBatch, views: Iterable[torch.Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(batch.views, views, strict=True))


def same_bits(first: Path, second: Path) -> bool:
    one, two = load_state(first)[0], load_state(second)[0]
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("uninterrupted")
    run(tiny_config(), directory)
    return directory


def test_kill_9_at_random_moments_ends_with_the_same_bits(uninterrupted: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pretrain.engine.train", "tests.pretrain.test_engine"])
    rng = random.Random(os.environ.get("PYTEST_SEED"))
    directory = tmp_path / "killed"
    directory.mkdir()
    # An epoch has ten steps and ends with a saved state: kills fall behind it, before it, and behind the next.
    for steps in (10 + rng.randint(1, 9), rng.randint(1, 9), 10 + rng.randint(1, 5)):
        process = context.Process(target=child, args=(tiny_config(), directory))
        process.start()
        wait_for_steps(directory, process, steps)
        time.sleep(rng.uniform(0, 0.05))
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
    last = context.Process(target=child, args=(tiny_config(), directory))
    last.start()
    last.join()
    assert last.exitcode == 0
    firsts = [steps[0] for steps in steps_by_attempt(directory).values()]
    assert firsts == [1, 11, 11, 21], "every attempt goes on from the last saved state"
    for name in ("backbone.safetensors", "method.safetensors"):
        assert same_bits(directory / "checkpoints" / name, uninterrupted / "checkpoints" / name)


def steps_by_attempt(directory: Path) -> dict[int, list[int]]:
    """{process: steps it reported}, in the order of the attempts."""
    attempts: dict[int, list[int]] = {}
    for row in read_json_lines(directory / "steps.jsonl"):
        attempts.setdefault(row["pid"], []).append(row["step"])
    return attempts


def wait_for_steps(directory: Path, process: Any, count: int) -> None:
    """Until the process has trained so many steps."""
    while process.is_alive() and len(steps_by_attempt(directory).get(process.pid, ())) < count:
        time.sleep(0.005)


def test_a_finished_training_state_is_not_trained_again(uninterrupted: Path) -> None:
    stamp = (uninterrupted / "checkpoints" / "training_state.pt").stat().st_mtime_ns
    outcome = run(tiny_config(), uninterrupted)
    assert outcome.images_per_second is None
    assert outcome.metrics["loss"] > 0
    assert (uninterrupted / "checkpoints" / "training_state.pt").stat().st_mtime_ns == stamp


def test_training_lowers_the_loss_and_seeds_differ(uninterrupted: Path, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    run(tiny_config(seed=1), tmp_path, rows)
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert not same_bits(
        tmp_path / "checkpoints" / "backbone.safetensors", uninterrupted / "checkpoints" / "backbone.safetensors"
    )
    discard_training_state(tmp_path)
    assert load_training_state(tmp_path / "checkpoints") is None


def test_bf16_trains_beside_fp32(tmp_path: Path) -> None:
    """On a ViT: on the CPU, bf16 convolutions of maps as small as their padding have wrong weight gradients."""
    vit = {"backbone": "tiny_vit", "image_size": 16, "epochs": 1}
    full: list[dict[str, Any]] = []
    low: list[dict[str, Any]] = []
    run(tiny_config(**vit), tmp_path / "full", full)
    run(tiny_config(**vit, precision="bf16"), tmp_path / "low", low)
    for one, other in zip(full, low, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=0.05)


def test_zero_epochs_give_the_initial_weights(tmp_path: Path) -> None:
    config = tiny_config(method="random_init", method_options={}, epochs=0)
    outcome = run(config, tmp_path)
    backbone, header = load_backbone(tmp_path / "checkpoints" / "backbone.safetensors")
    assert outcome.checkpoints["backbone"] == header
    assert not backbone.training
    assert header.epochs == 0


def test_nan_stops_with_step_and_images_and_keeps_the_last_state(tmp_path: Path) -> None:
    exploding = {"name": "adamw", "base_learning_rate": 1e30, "weight_decay": 0.0, "warmup_epochs": 0}
    with pytest.raises(NonFiniteLossError, match=r"step \d+ \(epoch 0, batch \d+, images digits\[train\]"):
        run(tiny_config(optimizer=exploding), tmp_path)
    assert load_training_state(tmp_path / "checkpoints") is None, "no state with bad weights may be kept"

    run(tiny_config(epochs=1), tmp_path)
    good = load_training_state(tmp_path / "checkpoints")
    with pytest.raises(NonFiniteLossError, match=f"last good training state is step {good['step']}"):
        run(tiny_config(optimizer=exploding), tmp_path)
    assert load_training_state(tmp_path / "checkpoints")["step"] == good["step"]


def test_global_batches_do_not_depend_on_the_number_of_processes() -> None:
    from pretrain.datasets import open_split

    images = open_split("digits", None, "train")
    config = tiny_config(epochs=1)

    def rows(first_step: int, rank: int, world_size: int) -> list[Any]:
        options = {"first_step": first_step, "rank": rank, "world_size": world_size}
        return list(batches(images, config, num_workers=0, pin_memory=False, **options))

    whole = rows(0, 0, 1)
    halves = [rows(0, rank, 2) for rank in range(2)]
    for one, left, right in zip(whole, *halves, strict=True):
        assert same_views(one, map(torch.cat, zip(left.views, right.views, strict=True)))
        assert torch.equal(one.indices, torch.cat([left.indices, right.indices]))
    resumed = rows(7, 0, 1)
    assert resumed[0].step == 7
    assert same_views(resumed[0], whole[7].views)
    seen = torch.cat([one.indices for one in whole])
    assert len(seen.unique()) == len(seen), "an epoch shows no image twice"


def test_loader_workers_give_the_same_batches() -> None:
    from pretrain.datasets import open_split

    images = open_split("digits", None, "train")
    options = {"first_step": 0, "rank": 0, "world_size": 1, "pin_memory": False}
    plain = next(batches(images, tiny_config(), num_workers=0, **options))
    worked = next(batches(images, tiny_config(), num_workers=2, **options))
    assert same_views(plain, worked.views)


def test_a_batch_larger_than_the_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="global_batch_size: 4096 is more than"):
        run(tiny_config(global_batch_size=4096), tmp_path)


def test_an_unreadable_training_state_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "training_state.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="delete it to start this run afresh"):
        run(tiny_config(), tmp_path)


class TestCheckpoints:
    def test_truncated(self, uninterrupted: Path, tmp_path: Path) -> None:
        weights = tmp_path / "backbone.safetensors"
        source = uninterrupted / "checkpoints" / "backbone.safetensors"
        weights.write_bytes(source.read_bytes()[:-100])
        weights.with_suffix(".json").write_text(source.with_suffix(".json").read_text())
        with pytest.raises(InputError, match="truncated or altered"):
            load_backbone(weights)

    @pytest.mark.parametrize("umask", [0o022, 0o027, 0o002])
    def test_files_may_be_read_by_whom_the_umask_lets(self, umask: int, uninterrupted: Path, tmp_path: Path) -> None:
        state, header = load_state(uninterrupted / "checkpoints" / "backbone.safetensors")
        before = os.umask(umask)
        try:
            save_checkpoint(tmp_path / "backbone.safetensors", state, header.model_dump(exclude={"sha256"}))
        finally:
            os.umask(before)
        assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o666 & ~umask] * 2

    def test_missing_and_headerless(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no such checkpoint"):
            load_backbone(tmp_path / "backbone.safetensors")
        (tmp_path / "backbone.safetensors").write_bytes(b"")
        with pytest.raises(InputError, match="no header"):
            load_backbone(tmp_path / "backbone.safetensors")

    def test_the_whole_method_is_not_a_backbone(self, uninterrupted: Path) -> None:
        with pytest.raises(InputError, match="evaluators take the backbone"):
            load_backbone(uninterrupted / "checkpoints" / "method.safetensors")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"backbone": "tiny_vit", "num_heads": 4}, "weights of another model: missing cls_token"),
            ({"num_heads": 6}, "trained with 6 attention heads, tiny_resnet has None"),
        ],
    )
    def test_another_backbone(self, change: dict[str, Any], message: str, uninterrupted: Path, tmp_path: Path) -> None:
        state, header = load_state(uninterrupted / "checkpoints" / "backbone.safetensors")
        weights = tmp_path / "backbone.safetensors"
        save_checkpoint(weights, state, {**header.model_dump(exclude={"sha256"}), **change})
        with pytest.raises(InputError, match=message):
            load_backbone(weights)


def test_repeated_augmentation_shows_fewer_images_more_often() -> None:
    config = tiny_config(repeated_augmentations=3, global_batch_size=12)

    def visited(config: PretrainConfig, epoch: int) -> list[tuple[int, ...]]:
        return [tuple(row) for row in epoch_visits(100, config, epoch).tolist()]

    visits = visited(config, epoch=1)
    assert len(visits) == len(set(visits)) == 100
    copies = Counter(index for index, _ in visits)
    assert sorted(copies.values()) == [1] + [3] * 33
    for index in copies:
        places = [place // 12 for place, (found, _) in enumerate(visits) if found == index]
        assert max(places) - min(places) <= 1, "copies lie in one batch or at a border of two"
    assert visits != visited(config, epoch=2)
    plain = visited(tiny_config(), epoch=1)
    assert sorted(plain) == [(index, 0) for index in range(100)]


def test_copies_of_an_image_are_augmented_anew_and_always_alike() -> None:
    view = {"crop_scale": (0.5, 1.0), "auto_augment": "rand-m9-mstd0.5-inc1"}
    config = tiny_config(repeated_augmentations=2, views=[view], image_size=16)
    crops = CroppedViews(open_split("digits", None, "train"), config)
    (first,), (second,) = crops[0, 5, 0][0], crops[0, 5, 1][0]
    assert first.dtype == torch.uint8
    assert not torch.equal(first, second)
    assert torch.equal(crops[0, 5, 0][0][0], first)
    assert not torch.equal(crops[1, 5, 0][0][0], first)


def test_a_classifier_s_validation_is_in_the_metrics(tmp_path: Path) -> None:
    """Against the saved weights, judged image by image."""
    config = tiny_config(method="supervised", method_options={}, views=tiny_config().views[:1], epochs=2)
    done = run(config, tmp_path)
    state = load_state(tmp_path / "checkpoints" / "method.safetensors")[0]
    backbone = load_backbone(tmp_path / "checkpoints" / "backbone.safetensors")[0].eval()
    val = open_split("digits", None, "val")
    crop = centre_crop_transform(8)
    images = torch.stack([crop(val.image(index)) for index in range(len(val))])
    with torch.no_grad():
        features = backbone(normalise(images, config.normalisation))
    logits = features @ state["heads.class.0.weight"].T + state["heads.class.0.bias"]
    right = (
        logits.argsort(dim=1, descending=True)[:, :5] == torch.tensor([val.label(i) for i in range(len(val))])[:, None]
    )
    assert done.metrics["top1"] == pytest.approx(100 * float(right[:, 0].float().mean()))
    assert done.metrics["top5"] == pytest.approx(100 * float(right.any(dim=1).float().mean()))


def test_mixing_trains_and_refuses_odd_batches(tmp_path: Path) -> None:
    mixing = {"mixup_alpha": 0.8, "cutmix_alpha": 1.0}
    options = {"label_smoothing": 0.1}
    config = tiny_config(method="supervised", method_options=options, mixing=mixing, epochs=1)
    plain = config.model_copy(update={"mixing": None})
    losses = [run(each, tmp_path / str(number)).metrics["loss"] for number, each in enumerate((config, config, plain))]
    assert losses[0] == losses[1] != losses[2]
    with pytest.raises(ValidationError, match="global_batch_size must be even for mixing, not 127"):
        tiny_config(mixing=mixing, global_batch_size=127)
