"""``opera-bench evaluate``: evaluate one checkpoint without a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import RUNS, DeviceOption, RunsOption


def evaluate(
    evaluator: Annotated[
        str, typer.Argument(metavar="EVALUATOR", help="knn, linear, finetune, transfer, …; or all for classification.")
    ],
    checkpoint: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT",
            help="A pretraining's or import's run id, a checkpoint file, a Hugging Face folder, or the name of a timm "
            "model in Hugging Face's cache.",
        ),
    ],
    dataset: Annotated[
        str | None, typer.Option(help="Dataset to evaluate on. Default: folder with --data, else the pretraining's.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The dataset's directory. Without --dataset: your own images.")
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="A recipe's id. Default: the recipe that applies.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change any other setting: epochs=5 (all: linear.epochs=5). Repeatable."
        ),
    ] = None,
    from_: Annotated[
        str, typer.Option("--from", metavar="FORMAT", help="Of a file: moco_v3, opera, timm, torchvision, …")
    ] = "auto",
    weights: Annotated[
        str | None, typer.Option(metavar="SET", help="Of a file with several sets of weights: ema, raw, or a name.")
    ] = None,
    as_: Annotated[
        list[str] | None,
        typer.Option(
            "--as",
            metavar="KEY=VALUE",
            help="A fact that a file does not state: method=mine, epochs=300, batch_size=1024, dataset=imagenet. "
            "Repeatable.",
        ),
    ] = None,
    runs: RunsOption = RUNS,
    device: DeviceOption = "auto",
) -> None:
    """Evaluate one checkpoint, without a sweep.

    Runs in this process. A sweep with the same settings reuses the result. A file is imported first; the import is a
    run of its own. With evaluator `all`, runs every classification protocol and prints one table.
    """
    from bench.launch.evaluate_one import ALL, EvaluateArguments, evaluate_all, evaluate_one
    from bench.launch.run_one import is_first_process
    from bench.launch.subjects import FileOptions
    from bench.show.protocols import print_protocols
    from bench.sweep.overrides import split_assignments

    arguments = EvaluateArguments(
        checkpoint=checkpoint,
        dataset=dataset,
        data=data,
        recipe=recipe,
        assignments=tuple(set_ or ()),
        file_options=FileOptions(from_, weights, split_assignments(as_ or (), "--as")),
    )
    if evaluator == ALL:
        evaluated = evaluate_all(arguments, runs, device)
        if is_first_process():
            print_protocols(evaluated.done, evaluated.refused, runs)
        raise typer.Exit(1 if evaluated.refused else 0)
    raise typer.Exit(evaluate_one(evaluator, arguments, runs, device))
