"""``opera-bench pretrain``: run one pretraining without a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import RUNS, ComputeOption, DeviceOption, RunsOption


def pretrain(
    method: Annotated[str, typer.Option(help="opera, moco_v3, supervised, …")],
    backbone: Annotated[str, typer.Option(help="vit_small, resnet50, tiny_vit, …")],
    dataset: Annotated[str, typer.Option(help="Dataset to pretrain on.")] = "imagenet",
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="The dataset's directory, if it needs one.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Number of epochs. Default: the recipe's.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images per step, over all processes. Default: the recipe's.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 0,
    recipe: Annotated[str | None, typer.Option(help="A recipe's id. Default: the recipe that applies.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change any other setting: arrangement=A. May be repeated."),
    ] = None,
    runs: RunsOption = RUNS,
    device: DeviceOption = "auto",
    compute: ComputeOption = None,
) -> None:
    """Pretrain one backbone, without a sweep.

    Runs in this process. A sweep with the same settings reuses the result.
    """
    from bench.launch.options import parse_compute
    from bench.launch.run_one import run_single
    from bench.plan.graph import plan_pretraining
    from bench.plan.roots import planning_roots
    from bench.sweep.file import ALIASES
    from bench.sweep.overrides import naming_assignments, split_assignments
    from pretrain.resolve import resolve_pretraining

    named = {"epochs": epochs, "global_batch_size": batch_size}
    assigned = {ALIASES.get(key, key): value for key, value in split_assignments(set_ or ()).items()}
    options = {**{key: value for key, value in named.items() if value is not None}, **assigned}
    with naming_assignments(set_ or ()):
        config = resolve_pretraining(
            method=method,
            backbone=backbone,
            dataset=dataset,
            seed=seed,
            options=options,
            recipe=recipe,
            roots=planning_roots({} if data is None else {dataset: str(data)}, "the command line"),
        )
    raise typer.Exit(run_single(plan_pretraining(config), runs, device, data, parse_compute(compute or ())))
