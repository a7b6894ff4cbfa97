"""Defines options that several commands share, with one name and one help text."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

SweepArgument = Annotated[str, typer.Argument(metavar="SWEEP", help="A sweep file, or the name of a shipped sweep.")]
OptionalSweep = Annotated[
    str | None, typer.Argument(metavar="SWEEP", help="Only the runs of this sweep; all runs without it.")
]
OnlySweep = Annotated[
    str | None, typer.Option("--sweep", metavar="SWEEP", help="Only the runs of this sweep; all runs without it.")
]
RunsOption = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Where runs are kept.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change the sweep: pretrain.0.epochs=2. May be repeated."),
]
TinyOption = Annotated[
    bool, typer.Option("--tiny", help="The same graph of runs on digits, in minutes on two processor cores.")
]
ExecutorOption = Annotated[str, typer.Option(help="inline (this process), local (one process a run) or slurm.")]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Runs at a time with the local executor; default: one a processor.")
]
ClusterOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="The cluster profile for --executor slurm, by name or by file.")
]
ComputeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--compute",
        metavar="KEY=VALUE",
        help="How pretrainings are computed, not what: micro_batch_size=auto, gradient_checkpointing=true, "
        "compile=true, deterministic=true, keep_last=N, keep_every_epochs=N, monitor_every_epochs=N. May be repeated.",
    ),
]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda:0, …; auto takes CUDA where there is one.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Start without asking.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would start, and stop.")]

RUNS = Path("runs")


def spelt(sweep: str, runs: Path, *, tiny: bool, overrides: Sequence[str] | None) -> str:
    """The sweep and its options as typed, for suggested commands: ``SWEEP --tiny --set … --runs …``."""
    changes = [word for assignment in overrides or () for word in ("--set", assignment)]
    return shlex.join([sweep, *(["--tiny"] if tiny else []), *changes]) + elsewhere(runs)


def elsewhere(runs: Path) -> str:
    """The part `` --runs DIR`` of a suggested command, with a leading space; '' for the default directory."""
    return "" if runs == RUNS else f" --runs {shlex.quote(str(runs))}"
