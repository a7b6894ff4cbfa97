"""How many images go through the backbone at a time: what is found, what is approximated, what is refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pretrain.batch import Place
from pretrain.checkpoint import load_state
from pretrain.compute import ComputeOptions
from pretrain.config import PretrainConfig
from pretrain.engine import memory
from pretrain.engine.microbatch import MicroBatchedStep
from pretrain.engine.prepare import choose_micro_batch_size
from pretrain.engine.step import Precision
from pretrain.errors import InputError
from tests.pretrain.steps import CPU, batch_of, built, train, vit_config
from tests.pretrain.test_engine import tiny_config


class TestBatchNormInTheBackbone:
    def test_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="32 of 128 images would change the batch statistics of tiny_resnet"):
            train(tiny_config(), tmp_path, micro_batch_size=32)

    def test_auto_takes_the_whole_batch(self) -> None:
        config = tiny_config()
        method, precision = built(config), Precision.of(config, CPU)
        assert choose_micro_batch_size(method, config, ComputeOptions("auto"), precision, CPU) == 128

    def test_the_named_approximation_counts_each_micro_batch_once(self) -> None:
        """Running statistics as from forward passes of the parts, in order; the gradient pass leaves no trace."""
        config = tiny_config(batch_norm={"per_micro_batch": 32})
        method = built(config)
        reference = copy.deepcopy(method.backbone)
        batch = batch_of(config)
        MicroBatchedStep(method, Precision.of(config, CPU), 32)(batch, seed=5)
        with torch.no_grad():
            for view in range(2):
                for start in range(0, 128, 32):
                    reference(batch.view(view, range(start, start + 32)))
        for ours, theirs in zip(method.backbone.buffers(), reference.buffers(), strict=True):
            assert torch.equal(ours, theirs)
        assert all(m.track_running_stats for m in method.backbone.modules() if isinstance(m, nn.BatchNorm2d))

    def test_it_trains_and_is_part_of_the_identity(self, tmp_path: Path) -> None:
        approximated, exact = tiny_config(epochs=1, batch_norm={"per_micro_batch": 32}), tiny_config(epochs=1)
        assert exact.model_dump(mode="json")["batch_norm"] is None
        assert approximated.model_dump(mode="json")["batch_norm"] == {"per_micro_batch": 32}
        train(approximated, tmp_path)
        assert load_state(tmp_path / "checkpoints" / "backbone.safetensors")

    @pytest.mark.parametrize(
        ("config", "options", "message"),
        [
            (tiny_config(batch_norm={"per_micro_batch": 32}), {"micro_batch_size": 16}, "16 contradicts"),
            (vit_config(batch_norm={"per_micro_batch": 32}), {}, "tiny_vit has no batch normalisation"),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, config: PretrainConfig, options: dict[str, Any], message: str, tmp_path: Path
    ) -> None:
        with pytest.raises(InputError, match=message):
            train(config, tmp_path, **options)


def test_a_method_without_features_is_refused() -> None:
    config = vit_config()

    class Other(nn.Module):
        backbone = nn.Flatten()

    with pytest.raises(
        InputError, match="method opera can't be trained in micro-batches, because it is not a FeatureMethod"
    ):
        choose_micro_batch_size(Other(), config, ComputeOptions(16), Precision.of(config, CPU), CPU)


class TestAuto:
    @pytest.mark.parametrize(("limit", "found"), [(64, 50), (50, 50), (49, 25), (24, 13), (1, 1), (0, 0)])
    def test_halves_until_it_fits(self, limit: int, found: int) -> None:
        assert memory.find_largest(50, lambda count: count <= limit) == found

    def test_the_graph_is_counted_as_profiled(self) -> None:
        """Against the allocations torch itself reports between the start and the end of the forward pass."""
        config = vit_config()
        method, images = built(config), torch.zeros(8, 3, 16, 16)
        counted = memory.count_graph_bytes(method, Precision.of(config, CPU), images)
        with torch.profiler.profile(profile_memory=True) as profile:
            features = method.features(images, Place())
        allocated = sum(event.self_cpu_memory_usage for event in profile.key_averages())
        assert features["backbone"].requires_grad
        assert counted == pytest.approx(allocated + images.nbytes, rel=0.1)

    def test_less_memory_means_smaller_micro_batches(self, monkeypatch: pytest.MonkeyPatch) -> None:
        config = vit_config(global_batch_size=512)
        method, precision = built(config), Precision.of(config, CPU)

        def size(available_bytes: int) -> int:
            monkeypatch.setattr(memory, "available_bytes", lambda: available_bytes)
            return choose_micro_batch_size(method, config, ComputeOptions("auto"), precision, CPU)

        assert size(100_000_000_000) == 512
        assert size(200_000_000) < 512
        assert size(100_000_000) < size(200_000_000)
        with pytest.raises(InputError, match="one image at a time does not fit"):
            size(1_000_000)

    def test_the_machines_memory_is_read(self) -> None:
        assert 1_000_000 < memory.available_bytes() < 1 << 50
