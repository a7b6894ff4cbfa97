"""The scheduler's signals, in the process of a job and in those it forks to load data.

``SIGUSR2`` comes from ``--signal``, some time before the time limit (and before preemption, where the site sends it).
``SIGTERM`` comes when SLURM is about to kill: at preemption, ``scontrol requeue``, the time limit and ``scancel``. Both
may come to every process of a step.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

from slurm import stop


def catch_signals() -> set[signal.Signals]:
    """Turn the scheduler's signals into a wish to stop; the set fills with those that came."""
    told: set[signal.Signals] = set()

    def note(number: int, _: FrameType | None) -> None:
        told.add(signal.Signals(number))
        stop.request_stop()

    for number in (signal.SIGUSR2, signal.SIGTERM):
        signal.signal(number, note)
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_end_with_the_parent_only)
    return told


def ignore_signals() -> None:
    """Python gives signals back their defaults as it ends: a warning that comes then would kill a job that is done."""
    for number in (signal.SIGUSR2, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


_mask_of_thread = threading.local()


def _hold() -> None:
    """Hold ``SIGTERM`` back around a fork, so that the worker begins with that."""
    _mask_of_thread.before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _release() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _mask_of_thread.before)


def _end_with_the_parent_only() -> None:
    """In a loader's worker: it serves until its parent has saved its state, whoever else tells it to end.

    torch takes the death of a worker for a failure, and ends its workers with ``SIGTERM`` too.
    """
    threading.Thread(target=_wait_for_the_parents_word, args=(os.getppid(),), daemon=True).start()


def _wait_for_the_parents_word(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
