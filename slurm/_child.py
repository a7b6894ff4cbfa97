"""The main function of a local job's process, run before and after the job's function."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TextIO

from slurm import _preload
from slurm._call import call, describe


@dataclass(frozen=True)
class Order:
    """The request sent to a child. ``arguments`` is JSON text; ``environment`` replaces the fork server's."""

    function: str
    arguments: str
    log_path: Path
    environment: Mapping[str, str]


def main(orders: Connection) -> None:
    """Receive one order over ``orders``, run it, and send back a sentence if it fails.

    If the submitting process dies before it sends an order, return.
    """
    os.setsid()  # one signal then reaches the job's own children too, and the terminal's Ctrl-C does not
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        order: Order = orders.recv()
    except EOFError:
        return
    os.environ.clear()
    os.environ.update(order.environment)
    try:
        redirect_to(order.log_path)
    except OSError as error:
        orders.send(describe(error))
        sys.exit(1)
    faulthandler.enable()  # a crash in C code leaves its Python stack in the log
    for failure in _preload.failures:
        print(failure, file=sys.stderr)
    try:
        call(order.function, order.arguments)
    except BaseException as error:
        traceback.print_exc()
        orders.send(describe(error))
        sys.exit(1)


def redirect_to(log_path: Path) -> None:
    """Append standard output and error to ``log_path`` at the level of file descriptors; make standard input empty."""
    log_path.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(null)
    sys.stdout, sys.stderr = _text_stream(1), _text_stream(2)


def _text_stream(descriptor: int) -> TextIO:
    """Return a line-buffered text stream, so that lines printed before a kill -9 are in the log."""
    return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _end_with_parent() -> None:
    """Kill this job and all processes it started once the submitting process has ended for any reason."""
    submitter = multiprocessing.parent_process()
    assert submitter is not None, "a job's process is always started by multiprocessing"
    submitter.join()
    os.killpg(0, signal.SIGKILL)
