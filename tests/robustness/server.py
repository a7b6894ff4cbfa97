"""Forks one process a command, from a process that has imported everything; reads requests and answers in JSON lines.

Started with the library of ``faults.c`` loaded, so that each command can be struck. No tensor operation runs here: a
forked process would inherit locks of threads that it does not have.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

PRELOADED = (
    *("bench.cli", "bench.worker", "bench.session", "bench.outputs"),
    *("evaluators.knn", "evaluators.linear", "pretrain.engine", "slurm.inline", "slurm.slurm", "submitit"),
    *("results.tables", "results.figures", "results.report", "results.render", "matplotlib.figure", "jinja2"),
)


def main() -> None:
    library = ctypes.CDLL(None)
    library.fault_operations.restype = library.fault_struck.restype = ctypes.c_long
    library.fault_what.restype = library.fault_kinds.restype = ctypes.c_char_p
    _take_one_processor()
    for name in PRELOADED:
        import_module(name)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(_serve(library, json.loads(line))), flush=True)


def _take_one_processor() -> None:
    """Leave commands no processor for loader workers, which would only cost time here."""
    processors = sorted(os.sched_getaffinity(0))
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    os.sched_setaffinity(0, {processors[int(worker) % len(processors)]})


def _serve(library: Any, request: dict[str, Any]) -> dict[str, Any]:
    process = os.fork()
    if process == 0:
        _become(library, request)
    wait_until = time.monotonic() + request["seconds"]
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended or time.monotonic() > wait_until:
            break
        time.sleep(0.005)
    # The loader's workers, and a command that hangs, end here.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    if not ended:
        os.waitpid(process, 0)
    return {
        "status": os.waitstatus_to_exitcode(status) if ended else None,
        "operations": library.fault_operations(),
        "kinds": os.fsdecode(library.fault_kinds()),
        "is_struck": bool(library.fault_struck()),
        "what": os.fsdecode(library.fault_what()),
    }


def _become(library: Any, request: dict[str, Any]) -> None:
    """Be ``opera-bench <arguments>``; does not return."""
    status = 70
    try:
        os.setsid()
        output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
        os.environ.update(request["environment"])
        os.chdir(Path(request["output"]).parent)
        sys.argv = ["opera-bench", *request["arguments"]]
        library.fault_arm(os.fsencode(request["directory"]), request["point"], request["mode"])
        status = _call()
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        os._exit(status)


def _call() -> int:
    from bench.cli import main as opera_bench

    try:
        opera_bench()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    main()
