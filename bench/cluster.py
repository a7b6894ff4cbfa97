"""Runs on a cluster: which one a launch means, what its scheduler says of runs, and which sweeps want them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import InputError
from bench.plan import IMPORT, PRETRAIN
from bench.provenance import CODE_VERSION_FILE, code_version
from bench.sweep import Sweep
from pretrain.plugins import plugin_names, suggest
from results.frame import Row
from results.runs import RunState, write_atomically
from results.store import Run, Store, load_runs
from slurm.scheduler.commands import Standing, View
from slurm.scheduler.ledger import Ledger
from slurm.scheduler.profile import ClusterProfile, load_profile, parse_profile
from slurm.scheduler.queue import Queue

if TYPE_CHECKING:
    from slurm.slurm import SlurmExecutor

FOLDER = ".slurm"
"""Below the runs directory: ledger, scripts, code snapshots."""
SWEEPS = ".sweeps"
"""Below the runs directory: the run ids that each sweep asked for when it was last started."""
_UNTOLD = {RunState.PLANNED, RunState.WAITING, RunState.UNKNOWN}
"""States in which a run's directory does not tell how it stands with the scheduler."""
PACKAGES = ("bench", "pretrain", "evaluators", "results", "slurm")


def choose_profile(sweep: Sweep, name: str | None) -> ClusterProfile:
    """The cluster that ``--cluster`` or the sweep names, or that the sweep describes.

    Raises
    ------
    InputError
        Neither does, or the profile can't be meant.
    """
    asked = name or sweep.file.cluster
    if asked is None:
        raise InputError("--executor slurm needs to know the cluster: --cluster NAME, or cluster: in the sweep")
    profile = load_profile(asked) if isinstance(asked, str) else parse_profile(asked, sweep.where("cluster"))
    known = (PRETRAIN, IMPORT, *plugin_names("evaluators"))
    for stage in profile.stages:
        if stage not in known:
            raise InputError(f"cluster {profile.name}: stages: unknown stage {stage!r}; {suggest(stage, known)}")
    return profile


def slurm_executor(profile: ClusterProfile, runs_directory: Path, label: str) -> SlurmExecutor:
    """The executor that keeps its books below the runs directory and runs a copy of this code."""
    from slurm.slurm import CodeToRun, SlurmExecutor

    commit, dirty = code_version()
    version = json.dumps({"git_commit": commit, "git_dirty": dirty})
    code = CodeToRun(PACKAGES, {CODE_VERSION_FILE: version})
    return SlurmExecutor(runs_directory.absolute() / FOLDER, profile, label, code)


def scheduler_views(runs_directory: Path) -> dict[str, View]:
    """What the scheduler says of the runs that were submitted from this directory; empty when none was."""
    folder = runs_directory / FOLDER
    return Queue(folder).views() if folder.is_dir() else {}


def scheduler_logs(runs_directory: Path, run_id: str, own_log: Path) -> tuple[Path, ...]:
    """What SLURM kept of the run's last job, one file a process; empty if the job got as far as the run's own log.

    Opening that log is the first thing a job does. What keeps it from that, a Python that is missing say, only the
    scheduler hears.
    """
    entry = Ledger(runs_directory / FOLDER).latest().get(run_id)
    if entry is None or entry.slurm_id is None:
        return ()
    if own_log.exists() and own_log.stat().st_mtime >= entry.submitted_at.timestamp():
        return ()
    return tuple(sorted((runs_directory / FOLDER / entry.name).glob(f"{entry.slurm_id}_*_log.out")))


def load_with_scheduler(runs_directory: Path, run_ids: Iterable[str] | None = None) -> Store:
    """Runs as ``results.store.load_runs`` finds them, told by the scheduler where their directories can't tell."""
    views = scheduler_views(runs_directory)
    store = load_runs(runs_directory, run_ids)
    return replace(store, runs=tuple(_told(run, views.get(run.run_id)) for run in store.runs))


def told_by_scheduler(rows: Iterable[Row], runs_directory: Path) -> list[Row]:
    """The same for rows of ``results.index``."""
    views = scheduler_views(runs_directory)
    return [_told_row(row, views.get(str(row["run_id"]))) for row in rows]


def _told_row(row: Row, view: View | None) -> Row:
    if view is None or row["state"] not in _UNTOLD:
        return row
    state, reason = state_from(view)
    return row if state is RunState.PLANNED else {**row, "state": state.value, "reason": reason}


def _told(run: Run, view: View | None) -> Run:
    if view is None or run.state not in _UNTOLD:
        return run
    state, reason = state_from(view)
    return run if state is RunState.PLANNED else replace(run, state=state, reason=reason)


def state_from(view: View) -> tuple[RunState, str | None]:
    """A run's state where its directory does not tell, from the scheduler's word.

    A job that succeeded and whose record is gone is to be run again.
    """
    number = view.slurm_id
    match view.standing:
        case Standing.PENDING:
            return RunState.WAITING, f"SLURM job {number} is pending: {view.detail}"
        case Standing.RUNNING:
            return RunState.RUNNING, f"SLURM job {number}"
        case Standing.SUCCEEDED:
            return RunState.PLANNED, None
        case Standing.CANCELLED:
            return RunState.CANCELLED, f"SLURM job {number} was cancelled"
        case Standing.NEVER:
            return RunState.FAILED, f"SLURM job {number} can never start: a job it depends on failed"
        case Standing.FAILED:
            return RunState.FAILED, f"SLURM job {number}: {view.detail}"
        case Standing.GONE:
            return RunState.UNKNOWN, "submitted, and SLURM knows nothing of it any more"
        case Standing.SILENT:
            return RunState.UNKNOWN, "SLURM does not answer, so nobody can say where this run stands"


def remember_sweep(name: str, run_ids: Iterable[str], runs_directory: Path) -> None:
    """Note that a sweep wants these runs, so that cancelling another sweep leaves them alone."""
    folder = runs_directory / SWEEPS
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / f"{name}.json", json.dumps(sorted(run_ids)) + "\n")


def sweeps_by_run(runs_directory: Path) -> dict[str, set[str]]:
    """The sweeps that asked for each run."""
    wanted: dict[str, set[str]] = {}
    for path in sorted((runs_directory / SWEEPS).glob("*.json")):
        try:
            run_ids = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        for run_id in run_ids:
            wanted.setdefault(str(run_id), set()).add(path.stem)
    return wanted
