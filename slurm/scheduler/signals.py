"""Handles SLURM's signals in a job's process and in the loader workers that it forks.

``SIGUSR2`` comes from ``--signal``, some time before the time limit (and before preemption, if the site sends it).
``SIGTERM`` comes when SLURM is about to kill the job: at preemption, ``scontrol requeue``, the time limit and
``scancel``. Every process of a step may get both.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

from slurm import stop


def catch_signals() -> set[signal.Signals]:
    """Call ``request_stop`` on SIGUSR2 and SIGTERM; return a set that fills with the signals received."""
    received: set[signal.Signals] = set()

    def note(number: int, _: FrameType | None) -> None:
        received.add(signal.Signals(number))
        stop.request_stop()

    for number in (signal.SIGUSR2, signal.SIGTERM):
        signal.signal(number, note)
    os.register_at_fork(before=_block_sigterm, after_in_parent=_restore_mask, after_in_child=_end_only_with_parent)
    return received


def ignore_signals() -> None:
    """Ignore both signals. Python restores their defaults on exit, and a late warning would kill a finished job."""
    for number in (signal.SIGUSR2, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


_mask_of_thread = threading.local()


def _block_sigterm() -> None:
    """Block ``SIGTERM`` around a fork, so that the worker starts with it blocked."""
    _mask_of_thread.before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _restore_mask() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _mask_of_thread.before)


def _end_only_with_parent() -> None:
    """Make a loader worker end only on its parent's ``SIGTERM``, so that it works until the parent has saved its state.

    torch treats a worker's death as a failure, and itself ends workers with ``SIGTERM``.
    """
    threading.Thread(target=_exit_on_parents_signal, args=(os.getppid(),), daemon=True).start()


def _exit_on_parents_signal(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
