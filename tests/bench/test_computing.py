"""``--compute`` is asked about before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.launch.compute_options import check_compute, fitting_compute
from bench.plan.graph import plan_sweep
from bench.sweep.errors import InputError
from bench.sweep.load import load_sweep
from pretrain.compute import ComputeOptions

BOTH = "name: both\npretrain:\n  - {method: opera, backbone: [tiny_vit, tiny_resnet], dataset: digits}\n"


@pytest.mark.parametrize(
    ("options", "left_out"),
    [
        (ComputeOptions(gradient_checkpointing=True), ["gradient_checkpointing"]),
        (ComputeOptions(micro_batch_size=16, deterministic=True), ["micro_batch_size"]),
        (ComputeOptions(micro_batch_size="auto", compile=True), []),
    ],
)
def test_a_resnet_is_computed_without_what_is_for_transformers(
    options: ComputeOptions, left_out: list[str], write_sweep: Callable[..., Path]
) -> None:
    runs = plan_sweep(load_sweep(str(write_sweep(BOTH, "both.yaml")))).runs
    by_backbone = {run.config["pretrain"]["backbone"]: run for run in runs}
    assert [line.split()[1].rstrip(":") for line in check_compute(runs, options)] == left_out
    assert fitting_compute(by_backbone["tiny_vit"], options) == options
    kept = fitting_compute(by_backbone["tiny_resnet"], options)
    assert kept.chosen() == {key: value for key, value in options.chosen().items() if key not in left_out}
    for name in left_out:
        with pytest.raises(InputError, match=rf"--compute {name}: not for tiny_resnet: .*; leave it out"):
            check_compute([by_backbone["tiny_resnet"]], options)


def test_the_named_approximation_keeps_its_micro_batches(write_sweep: Callable[..., Path]) -> None:
    text = BOTH.replace("[tiny_vit, tiny_resnet]", "tiny_resnet").replace(
        "digits}", "digits, batch_norm: {per_micro_batch: 16}}"
    )
    (run,) = plan_sweep(load_sweep(str(write_sweep(text, "both.yaml")))).runs
    options = ComputeOptions(micro_batch_size=16)
    assert check_compute([run], options) == []
    assert fitting_compute(run, options) == options
