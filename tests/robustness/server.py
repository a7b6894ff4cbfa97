"""Forks one process a command, from a process that has imported everything; reads requests and answers in JSON lines.

Started with the library of ``faults.c`` loaded, so that each command can be struck. No tensor operation runs here: a
forked process would inherit locks of threads that it does not have.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import select
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

PRELOADED = (
    *("bench.cli", "bench.worker.preloaded", "bench.launch.run_sweep", "bench.runs.outputs", "bench.sweep.include"),
    *("bench.commands.run", "bench.commands.retry", "bench.commands.tables"),
    *(
        "evaluators.knn",
        "evaluators.linear",
        "pretrain.engine",
        "slurm.executors.inline",
        "slurm.executors.slurm",
        "submitit",
    ),
    *("pretrain.methods.moco_v3", "pretrain.backbones.tiny_vit", "pretrain.datasets.imagenet"),
    *("results.tables", "results.figures", "results.report", "results.render", "matplotlib.figure", "jinja2"),
    *("pandas", "torch.utils.serialization", "PIL.PngImagePlugin", "PIL.JpegImagePlugin", "_strptime"),
)


def main() -> None:
    library = ctypes.CDLL(None)
    library.fault_operations.restype = library.fault_struck.restype = ctypes.c_long
    library.fault_what.restype = library.fault_kinds.restype = ctypes.c_char_p
    _take_one_processor()
    for name in PRELOADED:
        import_module(name)
    _fill_caches()
    gc.collect()
    gc.freeze()  # a collection in a forked process would copy every page of what is imported
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = _serve_together(library, request) if "together" in request else _serve(library, request)
        print(json.dumps(answer), flush=True)
    os._exit(0)  # taking everything that is imported apart costs seconds


def _fill_caches() -> None:
    """Read the recipes and compile the report's template once: every command would do both again."""
    from pretrain.recipes import load_recipes
    from results.report import page_template

    page_template()
    for package in ("pretrain.recipes", "evaluators.recipes"):
        load_recipes(package)


def _take_one_processor() -> None:
    """Leave commands no processor for loader workers, which would only cost time here."""
    processors = sorted(os.sched_getaffinity(0))
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    os.sched_setaffinity(0, {processors[int(worker) % len(processors)]})


def _serve_together(library: Any, request: dict[str, Any]) -> list[int | None]:
    """The exit status of each of several commands that run at once, None for one that hung; no fault strikes them."""
    processes = []
    for arguments, output in zip(request["together"], request["outputs"], strict=True):
        processes.append(os.fork())
        if processes[-1] == 0:
            _become(library, {**request, "arguments": arguments, "output": output})
    wait_until = time.monotonic() + request["seconds"]
    ends = [_end(process, wait_until) for process in processes]
    return [None if status is None else os.waitstatus_to_exitcode(status) for status in ends]


def _serve(library: Any, request: dict[str, Any]) -> dict[str, Any]:
    process = os.fork()
    if process == 0:
        _become(library, request)
    status = _end(process, time.monotonic() + request["seconds"])
    return {
        "status": None if status is None else os.waitstatus_to_exitcode(status),
        "operations": library.fault_operations(),
        "kinds": os.fsdecode(library.fault_kinds()),
        "is_struck": bool(library.fault_struck()),
        "what": os.fsdecode(library.fault_what()),
    }


def _end(process: int, wait_until: float) -> int | None:
    """The wait status of a process, None if it had to be killed; its loader workers are ended too."""
    descriptor = os.pidfd_open(process)
    is_ended = bool(select.select([descriptor], [], [], max(wait_until - time.monotonic(), 0))[0])
    os.close(descriptor)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    return status if is_ended else None


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
