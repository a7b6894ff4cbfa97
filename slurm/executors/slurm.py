"""The SLURM executor: jobs become arrays of a cluster, which goes on without the submitting process."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slurm.errors import InputError
from slurm.graph import check_jobs, encode_arguments
from slurm.job import Handle, Job, JobState, OnChange, Told
from slurm.scheduler.commands import Standing, View, active_jobs, cancel_jobs
from slurm.scheduler.grouping import group_jobs, with_parents
from slurm.scheduler.ledger import Ledger
from slurm.scheduler.limits import read_limits
from slurm.scheduler.profile import ClusterProfile, Resources
from slurm.scheduler.queue import Queue
from slurm.scheduler.script import Batch, script_text
from slurm.scheduler.snapshot import SNAPSHOTS, take_snapshot
from slurm.scheduler.submission import NoRoomError, element_numbers, settle_intents, submit_batch
from slurm.scheduler.task import Task
from slurm.scheduler.told import STATES, read_states

SECONDS_BETWEEN_LOOKS = 10.0


@dataclass(frozen=True)
class CodeToRun:
    """What jobs import: packages copied when a job is submitted, and files that lie beside them."""

    packages: tuple[str, ...]
    files: Mapping[str, str]


class SlurmExecutor:
    """Submits through submitit and returns; ``wait`` is for those who want to.

    Jobs that ask for the same resources and wait for the same parents go in as one array, so the number of ``sbatch``
    calls follows the number of pretrainings and not that of evaluations. A job that the scheduler still holds is not
    submitted again, whoever asks and from where; two submissions to one folder take turns. What the cluster's limits
    leave no room for stays waiting, and the next submission tops up.

    Parameters
    ----------
    folder
        Shared with the cluster's nodes. Holds the ledger of what was submitted, scripts and pickles, code snapshots.
    profile
        The cluster.
    label
        Begins the name of every SLURM job.
    code
        Copied at submission; jobs import this copy.

    Raises
    ------
    InputError
        The folder's path has characters to which SLURM, or ``PYTHONPATH``, gives a meaning.
    """

    def __init__(self, folder: Path, profile: ClusterProfile, label: str, code: CodeToRun) -> None:
        if any(character in str(folder) for character in "%:\\\n"):
            raise InputError(f"{folder}: in jobs' paths %, :, \\ and line breaks have a meaning; choose another --runs")
        self._folder = folder
        self._profile = profile
        self._label = label
        self._code = code
        self._ledger = Ledger(folder)
        self._queue = Queue(folder)

    def submit(self, jobs: Sequence[Job]) -> list[Handle]:
        """Hand jobs to the cluster, parents first; see ``slurm.job.Executor``.

        A job whose parent is neither among ``jobs`` nor held by the scheduler waits on this side.

        Raises
        ------
        InputError
            What ``check_jobs`` refuses, no SLURM on this machine or none that answers about these jobs, or a request
            that ``sbatch`` refuses.
        """
        check_jobs(jobs)
        if shutil.which("sbatch") is None:
            raise InputError("there is no SLURM on this machine (no sbatch); use --executor local, or --dry-run")
        with self._ledger.locked():
            settle_intents(self._folder)
            views = self._queue.views(fresh=True)
            handles = {job.id: Handle(job) for job in jobs}
            if any(views[job_id].standing is Standing.SILENT for job_id in handles if job_id in views):
                raise InputError("SLURM does not answer about jobs that were submitted before; try again when it does")
            ending = [job_id for job_id in handles if job_id in views and views[job_id].detail == "COMPLETING"]
            if ending:
                raise InputError(f"SLURM is still ending an earlier job of {', '.join(ending)}; try again in a minute")
            held = {job_id: view for job_id, view in views.items() if view.standing.is_active}
            for job_id, handle in handles.items():
                if job_id in held:
                    _show(handle, held[job_id])
            cancel_jobs([views[i] for i in handles if i in views and views[i].standing is Standing.NEVER])
            fit = with_parents([job for job in jobs if job.id not in held], held)
            for job_id in handles.keys() - held.keys() - {job.id for job in fit}:
                handles[job_id].reason = "not submitted: their parent runs were not submitted either"
            self._submit_new(fit, handles, held)
        return list(handles.values())

    def settle(self) -> None:
        """Find out about submissions that were cut off between the intent and the answer, as by a killed command.

        Raises
        ------
        InputError
            There are some, and SLURM does not answer.
        """
        if self._ledger.unsettled():
            with self._ledger.locked():
                settle_intents(self._folder)

    def scripts(self, jobs: Sequence[Job]) -> list[str]:
        """The batch scripts that ``submit`` would hand to ``sbatch`` for these jobs, room for all of them supposed.

        Where there is no SLURM to ask, its default limits are taken, and nothing is in the queue.
        """
        check_jobs(jobs)
        array_size = read_limits(self._profile).array_size
        held = {i: str(view.slurm_id) for i, view in self._queue.views().items() if view.standing.is_active}
        texts = []
        shown = {job_id: number for job_id, number in held.items() if job_id not in {job.id for job in jobs}}
        fit = with_parents(jobs, shown)
        for number, (group, parents, resources) in enumerate(group_jobs(fit, self._resources, array_size)):
            depends_on = tuple(dict.fromkeys(shown[parent] for parent in parents))
            name = f"{self._label}-{number}"
            batch = Batch(name, self._folder / name, len(group), resources, depends_on, self._code_home)
            shown |= {
                job.id: f"<job {name}{f' task {index}' if len(group) > 1 else ''}>" for index, job in enumerate(group)
            }
            texts.append(script_text(batch, self._profile))
        return texts

    def wait(self, handles: Sequence[Handle], on_change: OnChange | None = None) -> None:
        """Return when every handle is final. Ctrl-C leaves the jobs with the cluster and is raised again."""
        while True:
            views = self._queue.views()
            for handle in handles:
                before = handle.state
                if not before.is_final and handle.job.id in views:
                    _show(handle, views[handle.job.id])
                    if handle.state is not before and on_change is not None:
                        on_change(handle)
            if all(handle.state.is_final or "slurm_job_id" not in handle.details for handle in handles):
                return
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def states(self, ids: Collection[str]) -> dict[str, Told]:
        """What SLURM says of the jobs with these ids. See ``slurm.job.Executor``."""
        return {job_id: each for job_id, each in read_states(self._folder).items() if job_id in ids}

    def cancel(self, handles: Sequence[Handle]) -> None:
        """``scancel`` what the scheduler holds of these; their descendants can then never start, and go too."""
        views = self._queue.views(fresh=True)
        cancel_jobs([view for handle in handles if (view := views.get(handle.job.id)) is not None])
        for handle in handles:
            if not handle.state.is_final:
                handle.state, handle.reason = JobState.CANCELLED, "cancelled"

    @property
    def _code_home(self) -> Path:
        return self._folder / SNAPSHOTS / "snapshot"

    def _resources(self, job: Job) -> Resources:
        return self._profile.resources(job.stage)

    def _submit_new(self, jobs: Sequence[Job], handles: Mapping[str, Handle], held: Mapping[str, View]) -> None:
        if not jobs:
            return
        limits = read_limits(self._profile)
        most = limits.submitted_jobs
        room = len(jobs) if most is None else max(most - (active_jobs() or 0), 0)
        code = take_snapshot(self._code.packages, dict(self._code.files), self._folder / SNAPSHOTS)
        known = {job_id: str(view.slurm_id) for job_id, view in held.items()}
        for group, parents, resources in group_jobs(jobs, self._resources, limits.array_size):
            fitting = group[:room]
            if any(parent not in known for parent in parents):
                fitting = ()  # a parent was held back
            depends_on = tuple(dict.fromkeys(known[parent] for parent in parents if parent in known))
            while fitting:
                try:
                    known |= self._submit_batch(fitting, resources, depends_on, code)
                    break
                except NoRoomError:
                    # An array is taken whole or not at all, and a limit may be one that nobody could read.
                    fitting = fitting[: len(fitting) // 2]
                    room = len(fitting)
                except InputError as error:
                    if taken := len(known) - len(held):
                        raise InputError(f"{error}; {taken} jobs before it were taken, and are queued") from error
                    raise
            room -= len(fitting)
            for job in fitting:
                handles[job.id].details["slurm_job_id"] = known[job.id]
            for job in group[len(fitting) :]:
                handles[job.id].reason = "held back: the queue has no room (MaxSubmitJobs)"

    def _submit_batch(
        self, jobs: Sequence[Job], resources: Resources, depends_on: tuple[str, ...], code: Path
    ) -> dict[str, str]:
        """One ``sbatch`` call; the SLURM id of each job."""
        name = f"{self._label}-{secrets.token_hex(4)}"
        batch = Batch(name, self._folder / name, len(jobs), resources, depends_on, code)
        requeue = self._profile.requeue
        tasks = [Task(job.id, job.function, encode_arguments(job), str(job.log_path), requeue) for job in jobs]
        number = submit_batch(batch, self._profile, tasks, self._ledger)
        return dict(zip([job.id for job in jobs], element_numbers(number, len(jobs)), strict=True))


def _show(handle: Handle, view: View) -> None:
    handle.state, handle.reason = STATES[view.standing], view.detail or None
    if view.slurm_id:
        handle.details["slurm_job_id"] = view.slurm_id


EXECUTOR = SlurmExecutor
