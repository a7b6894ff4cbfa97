"""The SLURM executor submits jobs as arrays to a cluster; they run on after the submitting process ends."""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from slurm.errors import InputError
from slurm.graph import check_jobs, encode_arguments
from slurm.job import Code, Executor, Handle, Job, JobReport, JobState, OnChange
from slurm.scheduler.commands import Standing, View, active_jobs, cancel_jobs
from slurm.scheduler.grouping import group_jobs, with_parents
from slurm.scheduler.ledger import Ledger
from slurm.scheduler.limits import read_limits
from slurm.scheduler.profile import ClusterProfile, SlurmResources
from slurm.scheduler.queue import Queue
from slurm.scheduler.reports import STATES, read_reports
from slurm.scheduler.script import Batch, script_text
from slurm.scheduler.snapshot import SNAPSHOTS, take_snapshot
from slurm.scheduler.submission import NoRoomError, element_numbers, settle_intents, submit_batch
from slurm.scheduler.task import Task

SECONDS_BETWEEN_QUERIES = 10.0
LABEL_CHARACTERS = 60
MOST_JOBS_NAMED = 10


class SlurmExecutor(Executor):
    """Submits jobs through submitit and returns; calling ``wait`` is optional.

    Jobs with equal resources and equal parents are submitted as one array, so the number of ``sbatch`` calls depends on
    the number of pretrainings, not of evaluations. A job that the scheduler still holds is not submitted again, whoever
    asks. Two submissions to one folder take turns. Jobs that exceed the cluster's limits stay waiting for a later
    submission.

    Parameters
    ----------
    folder
        Directory shared with the cluster's nodes: ledger of submissions, scripts, pickles and code snapshots.
    profile
        The cluster's profile; None if only jobs that were submitted before matter.
    label
        Prefix of every SLURM job name.
    code
        Code to copy at submission; jobs import the copy.
    """

    Options = ClusterProfile
    title = "SLURM"
    returns_at_once = True
    required_flags = " --cluster NAME"
    preview_format = "sbatch"

    def __init__(
        self, folder: Path, profile: ClusterProfile | None = None, label: str = "", code: Code | None = None
    ) -> None:
        self._folder = folder
        self._chosen_profile = profile
        self._label = label
        self._code = code or Code()
        self._ledger = Ledger(folder)
        self._queue = Queue(folder)

    @classmethod
    def diagnose(cls) -> tuple[tuple[str, bool | None, str], ...]:
        """Return whether this machine can submit jobs."""
        sbatch = shutil.which("sbatch")
        return (("slurm", True if sbatch else None, sbatch or "no sbatch on this machine"),)

    @classmethod
    def create(cls, options: ClusterProfile, folder: Path, label: str, code: Code) -> Self:
        """Return an executor whose job names begin with the characters of ``label`` that are safe everywhere.

        Raises
        ------
        InputError
            The folder's path has characters that are special to SLURM or ``PYTHONPATH``.
        """
        if any(character in str(folder) for character in "%:\\\n"):
            raise InputError(f"{folder}: in jobs' paths %, :, \\ and line breaks have a meaning; choose another --runs")
        safe = re.sub(r"[^A-Za-z0-9_.-]+", "-", label)[:LABEL_CHARACTERS].strip("-.")
        return cls(folder, options, safe or "sweep", code)

    @classmethod
    def open(cls, folder: Path) -> Self:
        return cls(folder)

    def submit(self, jobs: Sequence[Job]) -> list[Handle]:
        """Submit jobs to the cluster, parents first; see ``slurm.job.Executor``.

        If a job's parent is neither in ``jobs`` nor held by the scheduler, the job is not submitted and has failed.

        Raises
        ------
        InputError
            ``check_jobs`` rejects the jobs, this machine has no SLURM, SLURM does not answer about these jobs, or
            ``sbatch`` refuses the request.
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
                    _update(handle, held[job_id])
            cancel_jobs([views[i] for i in handles if i in views and views[i].standing is Standing.NEVER])
            fit = with_parents([job for job in jobs if job.id not in held], held)
            for job_id in handles.keys() - held.keys() - {job.id for job in fit}:
                handles[job_id].state = JobState.FAILED
                handles[job_id].reason = "not submitted: their parent runs were not submitted either"
            self._submit_new(fit, handles, held)
        return list(handles.values())

    def settle(self) -> None:
        """Find out whether SLURM accepted batches whose submission was interrupted, for example by a killed command.

        Raises
        ------
        InputError
            There are such batches, and SLURM does not answer.
        """
        if self._ledger.unsettled():
            with self._ledger.locked():
                settle_intents(self._folder)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Wait until no command submits from this folder, settle, and hold the lock. See ``slurm.job.Executor``."""
        with self._ledger.locked():
            settle_intents(self._folder)
            yield

    def preview(self, jobs: Sequence[Job]) -> list[str]:
        """Return the batch scripts that ``submit`` would pass to ``sbatch`` if the queue had room for all these jobs.

        On a machine without SLURM, assumes SLURM's default limits and an empty queue.
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
        return [f"# ---- sbatch {number} of {len(texts)}\n{text}" for number, text in enumerate(texts, start=1)]

    def wait(self, handles: Sequence[Handle], on_change: OnChange | None = None) -> None:
        """Return when every handle is final. Ctrl-C is raised again and leaves the jobs running on the cluster."""
        while True:
            views = self._queue.views()
            for handle in handles:
                before = handle.state
                if not before.is_final and handle.job.id in views:
                    _update(handle, views[handle.job.id])
                    if handle.state is not before and on_change is not None:
                        on_change(handle)
            if all(handle.state.is_final or handle.number is None for handle in handles):
                return
            time.sleep(SECONDS_BETWEEN_QUERIES)

    def states(self, *, fresh: bool = False) -> dict[str, JobReport]:
        """Return SLURM's answer about all jobs submitted from this folder. See ``slurm.job.Executor``."""
        return read_reports(self._folder, fresh=fresh)

    def logs(self, job_id: str) -> tuple[Path, ...]:
        """Return SLURM's log files of the last job under this id, one per process.

        A job first opens its own log. Only SLURM's log shows errors before that, such as a missing Python, and the
        reason why a job was killed, such as lack of memory.
        """
        entry = self._ledger.latest().get(job_id)
        if entry is None or entry.slurm_id is None:
            return ()
        return tuple(sorted((self._folder / entry.name).glob(f"{entry.slurm_id}_*_log.out")))

    def cancel(self, ids: Collection[str]) -> None:
        """Call ``scancel`` for jobs that the scheduler holds. SLURM then cancels descendants, which can never start."""
        known = self._queue.views(fresh=True)
        views = [known[job_id] for job_id in ids if job_id in known]
        if any(view.standing is Standing.SILENT for view in views):
            raise InputError("SLURM does not answer, and may hold some of these jobs; try again later")
        cancel_jobs(views)

    def describe(self, handles: Sequence[Handle]) -> str:
        arrays = {str(handle.number).partition("_")[0] for handle in handles}
        return f"{self.title}, in {len(arrays)} jobs"

    def release_command(self, numbers: Sequence[str]) -> str:
        """Return ``scontrol release`` for these jobs if they are few, else for the arrays they belong to."""
        if len(numbers) > MOST_JOBS_NAMED:
            numbers = list(dict.fromkeys(number.partition("_")[0] for number in numbers))
        return f"scontrol release {','.join(numbers)}"

    @property
    def _profile(self) -> ClusterProfile:
        assert self._chosen_profile is not None, "an opened executor submits nothing"
        return self._chosen_profile

    @property
    def _code_home(self) -> Path:
        return self._folder / SNAPSHOTS / "snapshot"

    def _resources(self, job: Job) -> SlurmResources:
        return self._profile.resources(job.stage)

    def _submit_new(self, jobs: Sequence[Job], handles: Mapping[str, Handle], held: Mapping[str, View]) -> None:
        if not jobs:
            return
        limits = read_limits(self._profile)
        most = limits.submitted_jobs
        room = len(jobs) if most is None else max(most - (active_jobs() or 0), 0)
        code = take_snapshot(self._code.packages, dict(self._code.files()), self._folder / SNAPSHOTS)
        known = {job_id: str(view.slurm_id) for job_id, view in held.items()}
        for group, parents, resources in group_jobs(jobs, self._resources, limits.array_size):
            fitting = group[:room]
            if any(parent not in known for parent in parents):
                fitting = ()  # a parent was not submitted
            depends_on = tuple(dict.fromkeys(known[parent] for parent in parents if parent in known))
            while fitting:
                try:
                    known |= self._submit_batch(fitting, resources, depends_on, code)
                    break
                except NoRoomError:
                    # sbatch takes a whole array or nothing, and some limits can't be read: halve the batch and try
                    # again.
                    fitting = fitting[: len(fitting) // 2]
                    room = len(fitting)
                except InputError as error:
                    if queued := len(known) - len(held):
                        raise InputError(f"{error}; {queued} jobs of earlier batches are queued") from error
                    raise
            room -= len(fitting)
            for job in fitting:
                handles[job.id].number = known[job.id]
            for job in group[len(fitting) :]:
                handles[job.id].reason = "held back: the queue has no room (MaxSubmitJobs)"

    def _submit_batch(
        self, jobs: Sequence[Job], resources: SlurmResources, depends_on: tuple[str, ...], code: Path
    ) -> dict[str, str]:
        """Submit one batch with ``sbatch``; return the SLURM id of each job."""
        name = f"{self._label}-{secrets.token_hex(4)}"
        batch = Batch(name, self._folder / name, len(jobs), resources, depends_on, code)
        requeue = self._profile.requeue
        tasks = [Task(job.id, job.function, encode_arguments(job), str(job.log_path), requeue) for job in jobs]
        number = submit_batch(batch, self._profile, tasks, self._ledger)
        return dict(zip([job.id for job in jobs], element_numbers(number, len(jobs)), strict=True))


def _update(handle: Handle, view: View) -> None:
    handle.state, handle.reason = STATES[view.standing], view.detail or None
    handle.number = view.slurm_id or handle.number


EXECUTOR = SlurmExecutor
