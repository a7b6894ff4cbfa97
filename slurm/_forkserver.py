"""Starts child processes from multiprocessing's fork server, which preloads the modules that jobs need.

A process has one fork server. It starts with the first job, imports the modules to preload, and then forks a child in
milliseconds. Children fork from the server and not from the submitting process, which therefore never has to
import what they use.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import ModuleType

from slurm import _child
from slurm._preload import PRELOAD_VARIABLE
from slurm.errors import InputError

_context = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class ServerSettings:
    """Settings of a fork server; ``variables`` are set in its environment before any import."""

    preload: tuple[str, ...]
    variables: tuple[tuple[str, str], ...]


_running_with: ServerSettings | None = None


def start_child(settings: ServerSettings) -> tuple[ForkServerProcess, Connection]:
    """Start a child that waits for its order on the returned connection and ends if the connection closes.

    Raises
    ------
    InputError
        Jobs run under a fork server with other settings, or a preloaded module crashes the server.
    """
    _apply_settings(settings)
    with contextlib.suppress(EOFError, ConnectionError):
        return _start(settings)
    _stop_server()  # the server was killed at this moment; start a new one
    try:
        return _start(settings)
    except (EOFError, ConnectionError) as error:
        preloaded = ", ".join(settings.preload) or "nothing"
        raise InputError(f"the fork server died before it could start a job; it preloads {preloaded}") from error


def _start(settings: ServerSettings) -> tuple[ForkServerProcess, Connection]:
    with _server_environment(settings), _interrupts_blocked():
        forkserver.ensure_running()
    ours, theirs = _context.Pipe()
    try:
        with theirs, _anonymous_main_module():
            process = _context.Process(target=_child.main, args=(theirs,))
            process.start()
    except BaseException:
        ours.close()
        raise
    return process, ours


def _apply_settings(settings: ServerSettings) -> None:
    """Stop a fork server that has other settings; the next start brings up one with ``settings``."""
    global _running_with
    if _running_with not in (None, settings):
        if any(isinstance(child, ForkServerProcess) for child in multiprocessing.active_children()):
            raise InputError(
                "jobs with other preload or threads_per_worker are running in this process; wait for them first"
            )
        _stop_server()
    _running_with = settings
    _context.set_forkserver_preload(["slurm._preload"])


def _stop_server() -> None:
    """Stop the fork server, which has no children left or is dying; return when it has ended."""
    forkserver._forkserver._stop()  # type: ignore[attr-defined]  # private; CPython has it for its own tests


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block SIGINT, so that Ctrl-C can't hit a fork server before it has left this terminal (``slurm._preload``)."""
    resource_tracker.ensure_running()  # would otherwise start with the server, and unblock SIGINT
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextlib.contextmanager
def _server_environment(settings: ServerSettings) -> Iterator[None]:
    """Set the variables with which the fork server starts, the first time or after its death.

    Jobs don't see them: a job's environment comes with its order.
    """
    variables: Mapping[str, str] = {
        **dict(settings.variables),
        PRELOAD_VARIABLE: ",".join(settings.preload),
        "PYTHONPATH": os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path),
    }
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]


@contextlib.contextmanager
def _anonymous_main_module() -> Iterator[None]:
    """Hide the file of ``__main__``: children would import it, and with it the whole command line."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
