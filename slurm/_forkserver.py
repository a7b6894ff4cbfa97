"""Starting a child from multiprocessing's fork server, with the server prepared the way jobs need it.

A process has one fork server. It is started with the first job, imports what is to be preloaded, and from then on
forks a child in milliseconds. Children fork from it and not from the submitting process, which therefore never has to
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
    """What a fork server is started with; ``variables`` are in its environment before anything is imported."""

    preload: tuple[str, ...]
    variables: tuple[tuple[str, str], ...]


_running_with: ServerSettings | None = None


def start_child(settings: ServerSettings) -> tuple[ForkServerProcess, Connection]:
    """Start a process that awaits its order on the connection returned, and ends if that closes.

    Raises
    ------
    InputError
        Jobs are running under a fork server with other settings, or what it preloads makes it crash.
    """
    _settle_on(settings)
    with contextlib.suppress(EOFError, ConnectionError):
        return _start(settings)
    _stop_server()  # it was killed just then; a new one takes over
    try:
        return _start(settings)
    except (EOFError, ConnectionError) as error:
        preloaded = ", ".join(settings.preload) or "nothing"
        raise InputError(f"the fork server died before it could start a job; it preloads {preloaded}") from error


def _start(settings: ServerSettings) -> tuple[ForkServerProcess, Connection]:
    with _environment_of_the_server(settings), _interrupts_held_back():
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


def _settle_on(settings: ServerSettings) -> None:
    """Stop a fork server that was started with other settings; the next start brings up a fitting one."""
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
    """Tell the fork server, which has no children left or is dying, to end; return when it has."""
    forkserver._forkserver._stop()  # type: ignore[attr-defined]  # in every CPython so far, for its own tests


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Start a fork server that Ctrl-C can't hit before it has left this terminal (see ``slurm._preload``)."""
    resource_tracker.ensure_running()  # comes up with the server otherwise, and lets interrupts through again
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextlib.contextmanager
def _environment_of_the_server(settings: ServerSettings) -> Iterator[None]:
    """The environment in which a start brings up the fork server, be it the first time or after its death.

    None of it is seen by a job, whose environment comes with its order.
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
    """Hide where ``__main__`` came from: children would import it again, and with it a whole command line."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
