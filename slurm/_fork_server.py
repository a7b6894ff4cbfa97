"""A process that imports modules once and forks each local job from itself, which takes milliseconds.

``ForkServer`` stands for it in the submitting process; ``serve`` is its main function. They write each other lines of
JSON through pipes. The server ends if the submitting process does, and a job ends if the server does.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
import weakref
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from slurm._process import call, describe, redirect_to
from slurm.errors import InputError
from slurm.job import JOB_GROUP


class ForkServer:
    """A fork server with ``modules`` to import and ``variables`` in its environment; it starts with the first job.

    ``ended`` holds the exit code and the reason of every ended job, by the job's id, until somebody takes them out.
    """

    def __init__(self, modules: Sequence[str], variables: Mapping[str, str]) -> None:
        self._modules, self._variables = modules, variables
        self._running: set[str] = set()
        self._pids: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self.ended: dict[str, tuple[int, str | None]] = {}

    def start(self, job_id: str, order: Mapping[str, Any]) -> int:
        """Fork a process that runs ``order`` (see ``_run``) and return its id.

        Raises
        ------
        InputError
            The server dies twice in a row, perhaps because of a module.
        """
        for _ in range(2):
            if self._process is None:
                self._launch()
            # A start of this job that Ctrl-C interrupted may have left its answers here.
            for answers in (self.ended, self._pids):
                answers.pop(job_id, None)
            self._running.add(job_id)
            self._request({"id": job_id, "order": order})
            while job_id in self._running and job_id not in self._pids:
                self.receive(None)
            if job_id in self._pids:  # a short job may have ended already
                return self._pids.pop(job_id)
        preloaded = ", ".join(self._modules) or "nothing"
        raise InputError(f"the fork server died before it could start a job; it preloads {preloaded}")

    def signal(self, job_id: str, number: signal.Signals) -> None:
        """Send a signal to a job and the processes that it started; do nothing if it has ended."""
        self._request({"id": job_id, "signal": number})

    def receive(self, timeout_seconds: float | None) -> None:
        """Wait until a job starts or ends, for at most ``timeout_seconds``. If the server has died, its jobs end."""
        if self._process is None or not wait([self._answers.descriptor], timeout_seconds):
            return
        try:
            for answer in self._answers.read():
                if "pid" in answer:
                    self._pids[answer["id"]] = answer["pid"]
                else:
                    self._running.discard(answer["id"])
                    self.ended[answer["id"]] = answer["code"], answer["reason"]
        except (EOFError, ValueError):  # the server has died, or Ctrl-C has lost a part of an answer
            self.stop()

    def stop(self) -> None:
        """Kill the server and with it the running jobs."""
        if self._process is not None:
            self._process = None
            self._kill()
        self.ended.update(dict.fromkeys(self._running, (-signal.SIGKILL, "the fork server died")))
        self._running.clear()

    def _launch(self) -> None:
        path = os.pathsep.join(str(entry or Path.cwd()) for entry in sys.path)
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", f"from {__name__} import serve; serve({list(self._modules)!r})"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **self._variables, "PYTHONPATH": path},
            start_new_session=True,  # a terminal's Ctrl-C reaches only the submitting process
        )
        self._kill = weakref.finalize(self, _kill, process)
        assert process.stdin, "stdin is a pipe"
        assert process.stdout, "stdout is a pipe"
        self._process, self._requests, self._answers = process, process.stdin, _Lines(process.stdout.fileno())

    def _request(self, request: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # the server has died; ``receive`` notices it
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()


def _kill(server: subprocess.Popen[bytes]) -> None:
    server.kill()
    with contextlib.suppress(BrokenPipeError), server:  # closes the pipes, with or without a request in the buffer
        pass


class _Lines:
    """Reads JSON lines from a file descriptor that another process writes."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._rest = b""

    def read(self) -> list[dict[str, Any]]:
        """Wait until the descriptor is readable and return the lines that are complete. EOFError: the writer ended."""
        text = os.read(self.descriptor, 1 << 16)
        if not text:
            raise EOFError
        *lines, self._rest = (self._rest + text).split(b"\n")
        return [json.loads(line) for line in lines]


def serve(modules: Sequence[str]) -> None:
    """Import the modules, then fork jobs until the submitting process ends."""
    requests, answers = _Lines(os.dup(0)), os.dup(1)
    os.dup2(2, 1)  # what modules print while they are imported
    failures = []
    for name in modules:
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:
            failures.append(f"could not preload {name}: {type(error).__name__}: {error}")
    redirect_to(Path(os.devnull))  # readers of the submitting process's output must not wait for the server
    with contextlib.suppress(EOFError):
        _Jobs(requests, answers, failures).serve()


class _Jobs:
    """The server's jobs. Each entry of ``_running`` is a process id and a pipe with the reason of a failure.

    ``failures`` are sentences about modules that could not be imported; every job writes them into its log.
    """

    def __init__(self, requests: _Lines, answers: int, failures: Sequence[str]) -> None:
        self._requests, self._answers, self._failures = requests, answers, failures
        self._running: dict[str, tuple[int, int]] = {}
        # Nobody writes to this pipe. When the server ends for any reason, the kernel closes it, and jobs read EOF.
        self._server_ended, self._server_lives = os.pipe()

    def serve(self) -> None:
        """Handle requests and ends of jobs. EOFError: the submitting process has ended."""
        wake, notify = os.pipe()
        os.set_blocking(notify, False)
        signal.set_wakeup_fd(notify)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while True:
            ready = wait([self._requests.descriptor, wake])
            if wake in ready:
                os.read(wake, 4096)
                self._collect()
            if self._requests.descriptor in ready:
                for request in self._requests.read():
                    if "order" in request:
                        self._start(request["id"], request["order"])
                    elif request["id"] in self._running:
                        _signal_job(self._running[request["id"]][0], request["signal"])

    def _collect(self) -> None:
        for job_id, (pid, reason) in list(self._running.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._running[job_id]
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)  # processes that the job started and that still run
                with os.fdopen(reason, "rb", buffering=0) as pipe:
                    os.set_blocking(reason, False)  # don't wait: a process outside the group may keep the pipe open
                    text = (pipe.read(1 << 16) or b"").decode(errors="replace")
                self._answer(id=job_id, code=os.waitstatus_to_exitcode(status), reason=text or None)

    def _start(self, job_id: str, order: Mapping[str, Any]) -> None:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.setsid()  # one signal then reaches all processes of the job
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for descriptor in (self._server_lives, self._requests.descriptor, self._answers, reading):
                os.close(descriptor)
            threading.Thread(target=_end_with_server, args=(self._server_ended,), daemon=True).start()
            code = _run(order, self._failures, writing)
            for thread in threading.enumerate():
                if thread is not threading.current_thread() and not thread.daemon:
                    thread.join()
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(code)  # a normal exit would free objects, and so copy memory shared with the server
        os.close(writing)
        self._running[job_id] = pid, reading
        self._answer(id=job_id, pid=pid)

    def _answer(self, **values: Any) -> None:
        os.write(self._answers, json.dumps(values).encode() + b"\n")


def _run(order: Mapping[str, Any], failures: Sequence[str], reason: int) -> int:
    """Run a job in its process and return its exit code; if it fails, write a sentence to the descriptor ``reason``."""
    os.environ.clear()
    os.environ.update(order["environment"])
    os.environ[JOB_GROUP] = str(os.getpid())  # _start has made this process the leader of a new group
    sys.path[:] = order["path"]
    try:
        os.chdir(order["directory"])
        redirect_to(Path(order["log_path"]))
        faulthandler.enable()  # a crash in C code leaves its Python stack in the log
        for failure in failures:
            print(failure, file=sys.stderr)
        call(order["function"], order["arguments"])
    except BaseException as error:
        traceback.print_exc()  # lost if the log can't be opened; the server reports ``reason``
        os.write(reason, describe(error).encode(errors="backslashreplace"))
        return 1
    return 0


def _end_with_server(server_ended: int) -> None:
    """Kill this job and all processes it started once the server has ended for any reason."""
    os.read(server_ended, 1)
    os.killpg(0, signal.SIGKILL)


def _signal_job(pid: int, number: int) -> None:
    """Signal a job's process group, or its process alone if it has not created the group yet."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        os.kill(pid, number)  # safe: the id stays reserved until ``_collect`` waits for the process
