"""Asking a running job to stop early.

A scheduler sends a signal before it ends a job. The signal handler in the job's process calls ``request_stop``. The job
checks ``stop_requested`` whenever it can save its state, and then raises ``Stopped``.
"""

from __future__ import annotations

import threading

_requested = threading.Event()


class Stopped(Exception):  # noqa: N818
    """The job ended early on request; started again, it continues from its saved state.

    ``progressed`` is False if the job saved nothing since it started: another start would stop at the same step again.
    """

    def __init__(self, message: str, *, progressed: bool = True) -> None:
        super().__init__(message)
        self.progressed = progressed


class PeerLost(Exception):  # noqa: N818
    """Another process of the job is gone. Only the scheduler knows whether the job failed or continues elsewhere."""


def request_stop() -> None:
    """Ask the job of this process to save its state and end."""
    _requested.set()


def stop_requested() -> bool:
    """Whether the job of this process should save its state and raise ``Stopped``."""
    return _requested.is_set()
