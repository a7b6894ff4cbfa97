"""Defines options that several commands share, with one name and one help text."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

SweepArgument = Annotated[
    str, typer.Argument(metavar="SWEEP", help="A file such as mine.yaml, or a shipped sweep such as digits.")
]
OptionalSweep = Annotated[
    str | None, typer.Argument(metavar="SWEEP", help="Use only this sweep's runs. Default: all runs in the directory.")
]
OnlySweep = Annotated[
    str | None,
    typer.Option("--sweep", metavar="SWEEP", help="Use only this sweep's runs. Default: all runs in the directory."),
]
RunsOption = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Directory of the runs.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a setting of the sweep: pretrain.0.epochs=2. May be repeated."
    ),
]
TinyOption = Annotated[
    bool, typer.Option("--tiny", help="Use the sweep in miniature: tiny networks, digits or a sample of own images.")
]
ExecutorOption = Annotated[
    str,
    typer.Option(
        help="Where runs are computed: inline (in this process), local (in processes on this machine), slurm (on a "
        "cluster), or an executor of a plugin."
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Runs at a time with --executor local. Default: one per processor.")
]
ClusterOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Cluster profile for --executor slurm, a name or a file. Default: the sweep's."),
]
ComputeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--compute",
        metavar="KEY=VALUE",
        help="How pretrainings are computed: micro_batch_size=auto (or N), gradient_checkpointing=true, compile=true, "
        "deterministic=true, keep_last=N, keep_every_epochs=N, monitor_every_epochs=N. Not part of a run's id. May be "
        "repeated.",
    ),
]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda:0, …; auto uses a GPU if there is one.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Don't ask before starting.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would start, then exit.")]

RUNS = Path("runs")


def sweep_arguments(sweep: str, runs: Path, *, tiny: bool, overrides: Sequence[str] | None) -> str:
    """Return the sweep and its options as typed, for suggested commands: ``SWEEP --tiny --set … --runs …``."""
    changes = [word for assignment in overrides or () for word in ("--set", assignment)]
    return shlex.join([sweep, *(["--tiny"] if tiny else []), *changes]) + runs_option(runs)


def runs_option(runs: Path) -> str:
    """Return the part `` --runs DIR`` of a suggested command, with a leading space; '' for the default directory."""
    return "" if runs == RUNS else f" --runs {shlex.quote(str(runs))}"
