"""The test cluster as tests use it: asking, waiting, and breaking it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
STATE_DIRECTORY = Path(os.environ.get("TEST_SLURM_DIR", "/dev/shm/test-slurm"))
"""Where ``up`` keeps the cluster's state."""

POLL_SECONDS = 0.2


def answers() -> bool:
    """Whether a cluster answers at ``SLURM_CONF``, or at the test cluster's own; then ``SLURM_CONF`` is set."""
    configuration = Path(os.environ.get("SLURM_CONF", STATE_DIRECTORY / "slurm.conf"))
    if not configuration.exists():
        return False
    environment = {**os.environ, "SLURM_CONF": str(configuration)}
    try:
        ping = subprocess.run(["scontrol", "ping"], env=environment, capture_output=True, timeout=30)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    if ping.returncode == 0:
        os.environ["SLURM_CONF"] = str(configuration)
    return ping.returncode == 0


def ask(*command: str | Path) -> str:
    """What ``command`` prints; it must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: exit status {done.returncode}: {done.stderr}"
    return done.stdout.strip()


def submit(script: str, *options: str, log: Path) -> str:
    """Submit a shell ``script`` that writes to ``log`` (may hold sbatch's %-patterns); return the job's id."""
    return ask("sbatch", "--parsable", f"--output={log}", *options, f"--wrap={script}")


def state(job_id: str) -> str:
    """The state of a job as slurmctld still knows it, ``COMPLETED`` say; of an array, the states of its tasks."""
    return ask("squeue", "--noheader", "--array", "--states=all", "--format=%T", f"--jobs={job_id}")


def has_ended(job_id: str) -> bool:
    return not ask("squeue", "--noheader", "--format=%i", f"--jobs={job_id}")


def wait_until(predicate: Callable[[], bool], timeout_seconds: float, what: str) -> None:
    """Return once ``predicate`` holds; fail with ``what`` and the queue when it doesn't in ``timeout_seconds``."""
    give_up = time.monotonic() + timeout_seconds
    while not predicate():
        if time.monotonic() > give_up:
            queue = subprocess.run(["squeue", "--states=all"], capture_output=True, text=True, timeout=60)
            raise AssertionError(f"not within {timeout_seconds} s: {what}\n{queue.stdout}{queue.stderr}")
        time.sleep(POLL_SECONDS)


def service(verb: str, name: str) -> None:
    """``stop``, ``kill`` or ``start`` one daemon: ``slurmctld``, ``slurmdbd``, or a node's, ``slurmd-n1``."""
    ask(HERE / "service", verb, name)


@contextmanager
def forgotten_by_slurmctld() -> Iterator[None]:
    """When the block has ended, slurmctld knows nothing of what happened in it, and gives the same job ids out again.

    As after a power cut that cost it what it wrote last. slurmdbd remembers.
    """
    state = STATE_DIRECTORY / "state"
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / "state"
        service("stop", "slurmctld")
        try:
            shutil.copytree(state, before)
        finally:
            service("start", "slurmctld")
        try:
            yield
        finally:
            service("kill", "slurmctld")
            shutil.rmtree(state)
            shutil.copytree(before, state)
            service("start", "slurmctld")
            # A node that still runs a forgotten job would refuse the next one with its number, which SLURM then holds.
            wait_until(lambda: not _forgotten_jobs(), 120, "the nodes have ended what slurmctld has forgotten")


def _forgotten_jobs() -> set[str]:
    """Numbers of the jobs whose step daemons run on this machine, and which slurmctld doesn't know."""
    daemons = subprocess.run(["pgrep", "--list-full", "--full", r"^slurmstepd: \["], capture_output=True, text=True)
    running = set(re.findall(r"slurmstepd: \[(\d+)\.", daemons.stdout))
    return running - set(ask("squeue", "--noheader", "--format=%A").split())
