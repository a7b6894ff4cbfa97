"""Compute options change how a run is computed and what it keeps, not what comes out."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from pretrain.batch import Place
from pretrain.checkpoint import load_backbone
from pretrain.compute import ComputeOptions
from pretrain.config import PretrainConfig
from pretrain.engine import pretrain
from pretrain.engine.export import kept_epochs
from pretrain.engine.prepare import deterministic_kernels, prepare_backbone
from pretrain.engine.state import load_training_state
from pretrain.engine.step import PlainStep, Precision
from pretrain.errors import InputError
from tests.pretrain.steps import CPU, batch_of, built, train, vit_config
from tests.pretrain.test_engine import same_bits, tiny_config

ADAMW = {"name": "adamw", "base_learning_rate": 8e-3, "weight_decay": 0.05, "warmup_epochs": 1}
CROP = {"crop_scale": (0.5, 1.0)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"micro_batch_size": 0}, "micro_batch_size: must be auto or a number of images from 1 up, not 0"),
        ({"micro_batch_size": "all"}, "not 'all'"),
        ({"keep_last": -1}, "keep_last: must be 0"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ComputeOptions(**options)


def test_gradient_checkpointing_keeps_less_and_computes_the_same_bits() -> None:
    config = vit_config()
    plain, checkpointed = built(config), built(config)
    prepare_backbone(checkpointed, config, ComputeOptions(gradient_checkpointing=True))
    kept = {}
    for name, method in (("plain", plain), ("checkpointed", checkpointed)):
        bytes_kept: list[int] = []

        def pack(tensor: torch.Tensor, into: list[int] = bytes_kept) -> torch.Tensor:
            into.append(tensor.nbytes)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            method.features(torch.zeros(8, 3, 16, 16), Place())
        kept[name] = sum(bytes_kept)
        PlainStep(method, Precision.of(config, CPU), CPU)(batch_of(config), seed=5)
    assert kept["checkpointed"] < kept["plain"] / 4
    for one, other in zip(plain.parameters(), checkpointed.parameters(), strict=True):
        assert one.grad is None or torch.equal(one.grad, other.grad)


def test_gradient_checkpointing_of_a_resnet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="gradient_checkpointing: works only for vision transformers, not for tiny_resnet"
    ):
        train(tiny_config(), tmp_path, gradient_checkpointing=True)


def test_deterministic_kernels_are_asked_for_while_training_and_no_longer(tmp_path: Path) -> None:
    asked: list[bool] = []

    def report(**_: Any) -> None:
        asked.append(torch.are_deterministic_algorithms_enabled() and torch.backends.cudnn.deterministic)

    options = ComputeOptions(deterministic=True)
    settings: dict[str, Any] = {"data_root": None, "device": "cpu", "num_workers": 0}
    pretrain(vit_config(global_batch_size=512), run_directory=tmp_path, report=report, compute=options, **settings)
    assert asked
    assert all(asked)
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(ZeroDivisionError), deterministic_kernels(True):
        raise ZeroDivisionError
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler")
def test_a_compiled_backbone_trains_alike_and_saves_plain_names(tmp_path: Path) -> None:
    config = vit_config(global_batch_size=512, epochs=1)
    train(config, tmp_path / "compiled", compile=True)
    train(config, tmp_path / "plain")
    compiled, _ = load_backbone(tmp_path / "compiled" / "checkpoints" / "backbone.safetensors")
    plain, _ = load_backbone(tmp_path / "plain" / "checkpoints" / "backbone.safetensors")
    images = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(compiled(images), plain(images), rtol=1e-2, atol=1e-2)


def test_a_bf16_curve_lies_beside_fp32s(tmp_path: Path) -> None:
    """Within 3 % at every row of three epochs, over which the loss falls by more than 10 %."""
    curves: dict[str, list[float]] = {"fp32": [], "bf16": []}
    for precision, losses in curves.items():

        def report(*, values: Any, into: list[float] = losses, **_: Any) -> None:
            into.append(values["loss"])

        config = vit_config(
            precision=precision, image_size=8, global_batch_size=64, epochs=3, views=[CROP, CROP], optimizer=ADAMW
        )
        settings: dict[str, Any] = {"data_root": None, "device": "cpu", "num_workers": 0, "report": report}
        pretrain(config, run_directory=tmp_path / precision, **settings)
    assert curves["bf16"] == pytest.approx(curves["fp32"], rel=0.03)
    assert curves["bf16"] != curves["fp32"]
    assert curves["fp32"][-1] < 0.9 * curves["fp32"][0]


class TestKeep:
    """Six epochs of one step each; the sixth is the final checkpoint."""

    config: PretrainConfig = vit_config(
        method="supervised", method_options={}, image_size=8, global_batch_size=1024, epochs=6, views=[CROP]
    )

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, []),
            ({"keep_every_epochs": 2}, [2, 4]),
            ({"keep_last": 2}, [4, 5]),
            ({"keep_last": 1, "keep_every_epochs": 3}, [3, 5]),
        ],
    )
    def test_what_stays(self, options: dict[str, int], expected: list[int], tmp_path: Path) -> None:
        train(self.config, tmp_path, **options)
        directory = tmp_path / "checkpoints"
        assert kept_epochs(directory) == expected
        files = {f"backbone-epoch{epoch:04}.{end}" for epoch in expected for end in ("safetensors", "json")}
        assert {path.name for path in directory.glob("backbone-epoch*")} == files
        for epoch in expected:
            _, header = load_backbone(directory / f"backbone-epoch{epoch:04}.safetensors")
            assert header.epochs == epoch
            assert header.run_id == tmp_path.name

    def test_a_full_disk_leaves_the_last_good_ones_and_the_run_goes_on_from_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whichever write of the third epoch fails, weights, header or state: the second epoch's are whole."""
        train(self.config, tmp_path / "whole", keep_last=1)
        real = os.fsync
        # Three files an epoch are flushed to disk: backbone, its header, the training state.
        for failing in (7, 8, 9):
            calls = iter(range(1, 1000))

            def fails(descriptor: int, failing: int = failing, calls: Any = calls) -> None:
                if next(calls) == failing:
                    raise OSError(errno.ENOSPC, "No space left on device")
                real(descriptor)

            directory = tmp_path / f"full{failing}"
            monkeypatch.setattr(os, "fsync", fails)
            with pytest.raises(OSError, match="No space left"):
                train(self.config, directory, keep_last=1)
            monkeypatch.setattr(os, "fsync", real)
            state = load_training_state(directory / "checkpoints")
            assert state is not None
            assert state["step"] == 2
            if failing < 9:
                load_backbone(directory / "checkpoints" / "backbone-epoch0002.safetensors")
            assert not list((directory / "checkpoints").glob(".*")), "no half-written file is left behind"
            train(self.config, directory, keep_last=1)
            assert kept_epochs(directory / "checkpoints") == [5]
            for name in ("backbone.safetensors", "backbone-epoch0005.safetensors"):
                assert same_bits(directory / "checkpoints" / name, tmp_path / "whole" / "checkpoints" / name)
