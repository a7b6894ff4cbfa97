"""The only module that a fork server preloads; it imports the modules that every job needs, once.

The standard library's preloading skips a failing import silently and, up to Python 3.13, ignores the starting process's
``sys.path``. So this module imports the others itself.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys

PRELOAD_VARIABLE = "_SLURM_FORK_SERVER_PRELOAD"
"""Environment variable with the names of the modules to preload, separated by commas. Set only for fork servers."""

failures: list[str] = []
"""One sentence for each module that could not be imported; the jobs write them into their logs."""


def _leave_terminal() -> None:
    """Start a new session: only the submitting process handles the terminal's Ctrl-C and hang-up.

    The server starts with SIGINT blocked. Ignore a pending one before unblocking.
    """
    with contextlib.suppress(PermissionError):
        os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _preload(names: str) -> None:
    _leave_terminal()
    for name in ("slurm._child", *filter(None, names.split(","))):
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:
            failures.append(f"could not preload {name}: {type(error).__name__}: {error}")
    _discard_output()


def _discard_output() -> None:
    """Redirect output to /dev/null, so that readers of the submitting process's output don't wait for this server.

    Jobs write to the terminal only before they open their logs, if the submitting process dies while starting them.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)


if PRELOAD_VARIABLE in os.environ:
    _preload(os.environ[PRELOAD_VARIABLE])
