"""Imported by a fork server before it serves: imports, once, what every job would import.

The standard library's own preloading skips a failing import without a word and, up to Python 3.13, ignores the
starting process's ``sys.path``; so the fork server preloads this module alone, and this module the others.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys

PRELOAD_VARIABLE = "_SLURM_FORK_SERVER_PRELOAD"
"""Environment variable with the modules' names, separated by commas. Set for fork servers only."""

failures: list[str] = []
"""One sentence for each module that could not be imported; jobs forked from here write them into their logs."""


def _leave_terminal() -> None:
    """Have a session of one's own: the terminal's Ctrl-C and hang-up are the submitting process's to handle.

    The server was started with SIGINT blocked; one that came since is dropped before the next is let through.
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
    _let_go_of_streams()


def _let_go_of_streams() -> None:
    """Keep nobody waiting for the end of the submitting process's output, and leave no jobs' remarks in it.

    What a job says before it opens its log could only be that its submitter went away while starting it.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)


if PRELOAD_VARIABLE in os.environ:
    _preload(os.environ[PRELOAD_VARIABLE])
