"""Asking a job to stop early, from outside and from within.

A scheduler that is about to end a job says so with a signal. Where the job runs, whoever catches the signal calls
``request_stop``; the job asks ``stop_requested`` at moments at which it can save what it has, and raises ``Stopped``.
"""

from __future__ import annotations

import threading

_requested = threading.Event()


class Stopped(Exception):  # noqa: N818
    """The job ended early because it was asked to, and can be started again to go on from what it saved.

    ``progressed`` is whether it saved anything; one that did not would end at the same place again.
    """

    def __init__(self, message: str, *, progressed: bool = True) -> None:
        super().__init__(message)
        self.progressed = progressed


class PeerLost(Exception):  # noqa: N818
    """Another process of the job went away. Whether the job failed or goes on elsewhere, its scheduler knows."""


def request_stop() -> None:
    """Ask the job of this process to save its state and end."""
    _requested.set()


def stop_requested() -> bool:
    """Whether the job of this process should save its state and raise ``Stopped``."""
    return _requested.is_set()
