"""``opera-bench evaluate``: run one evaluation without a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import RUNS, DeviceOption, RunsOption


def evaluate(
    evaluator: Annotated[str, typer.Argument(metavar="EVALUATOR", help="linear, finetune, knn, transfer, …")],
    checkpoint: Annotated[str, typer.Option(metavar="RUN_ID", help="The pretraining or import to evaluate.")],
    dataset: Annotated[str | None, typer.Option(help="Dataset to evaluate on. Default: the pretraining's.")] = None,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="The dataset's directory, if it needs one.")] = None,
    recipe: Annotated[str | None, typer.Option(help="A recipe's id. Default: the recipe that applies.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change any other setting: epochs=5. May be repeated."),
    ] = None,
    runs: RunsOption = RUNS,
    device: DeviceOption = "auto",
) -> None:
    """Evaluate one checkpoint, without a sweep.

    Runs in this process. A sweep with the same settings reuses the result.
    """
    from bench.launch.run_one import run_single
    from bench.plan.expand import Evaluation
    from bench.plan.graph import IMPORT, PRETRAIN, plan_evaluation, plan_subject, subject_of
    from bench.runs.find import find_run
    from bench.sweep.errors import InputError
    from bench.sweep.overrides import naming_assignments, split_assignments
    from evaluators.lookup import resolve_evaluation
    from results.runs import RunState
    from results.store import load_runs

    run = find_run(runs, checkpoint, stages=(PRETRAIN, IMPORT))
    (found,) = load_runs(runs, [run.run_id]).runs or (None,)
    if found is None or found.state is RunState.DAMAGED:
        reason = "its directory holds no run" if found is None else f"{run.run_id} is damaged: {found.reason}"
        raise InputError(f"--checkpoint {checkpoint}: {reason}")
    if found.stage not in (PRETRAIN, IMPORT):
        raise InputError(f"--checkpoint {checkpoint}: {run.run_id} left no checkpoint; name a pretraining")
    if found.state is not RunState.DONE:
        raise InputError(f"--checkpoint {checkpoint}: {run.run_id} is not done; see: opera-bench status")
    try:
        subject = subject_of(found.config)
    except InputError as error:
        raise InputError(f"{run.config}: {error}; pretrain again to evaluate it") from error
    if plan_subject(subject).run_id != run.run_id:
        raise InputError(
            f"--checkpoint {checkpoint}: {run.run_id} was planned by another version of opera-bench or of a plugin; "
            "pretrain again to evaluate it"
        )
    options = split_assignments(set_ or ())
    if dataset is not None:
        options["dataset"] = dataset
    with naming_assignments(set_ or ()):
        config = resolve_evaluation(evaluator, subject=subject, options=options, recipe=recipe)
    raise typer.Exit(run_single(plan_evaluation(Evaluation(evaluator, config, subject)), runs, device, data))
