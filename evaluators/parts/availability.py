"""Whether a Python can run an evaluator: its ``unavailable()``, called in a child process of that Python.

An import can raise, end the process or crash it, and what it loads stays loaded, so none happens in the process that
asks.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

from evaluators.lookup import find_evaluator

TIMEOUT_SECONDS = 300
"""Importing torch and the libraries takes 10 seconds, and minutes from a network disk that has not read them yet."""
_LIBRARIES = ("torch", "numpy", "cv2", "pycocotools", "mmengine", "mmcv", "mmseg", "mmdet")
"""Modules whose place and age tell one installation from another."""
_HOME = Path(__file__).resolve().parents[2]
_ANSWER = "opera-bench availability: "
_SHOWN_CHARACTERS = 300
_CODE = f"""
import sys, json
from evaluators.lookup import find_evaluator
reason = find_evaluator(sys.argv[1]).unavailable()
print("\\n{_ANSWER}" + json.dumps(reason), flush=True)
"""


@dataclass(frozen=True)
class Availability:
    """``can_run`` is None if the Python could not be asked; ``reason`` says why it can't run or can't be asked."""

    can_run: bool | None
    reason: str | None = None


AVAILABLE = Availability(True)


def recall_availability(evaluator: str, python: str | None = None) -> Availability:
    """As ``ask_availability``, but a success is remembered between commands: an import costs ten seconds.

    What is remembered holds for this interpreter, its search path and the versions of all that is installed. A library
    whose own files are edited is noticed by ``ask_availability`` alone, so whatever computes calls that.
    """
    memory = None if python else _memory(evaluator)
    if memory is not None and memory.is_file():
        return AVAILABLE
    answer = ask_availability(evaluator, python)
    if memory is not None and answer == AVAILABLE and hasattr(find_evaluator(evaluator), "unavailable"):
        with contextlib.suppress(OSError):  # without a cache the next command asks again
            memory.parent.mkdir(parents=True, exist_ok=True)
            memory.touch()
    return answer


@functools.cache
def ask_availability(evaluator: str, python: str | None = None) -> Availability:
    """Whether a Python can run an evaluator, asked once in the life of this process.

    Parameters
    ----------
    python
        Path or name of another interpreter than this one. If it can't be started here, nothing is known of it.
    """
    if not hasattr(find_evaluator(evaluator), "unavailable"):
        return AVAILABLE
    command = [python or sys.executable, *(() if python else ("-P",)), "-c", _CODE, evaluator]
    try:
        asked = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_SECONDS,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": _search_path(python)},
            check=False,
        )
    except OSError as error:
        return Availability(None, f"{python or sys.executable} can't be started here ({error.strerror})")
    except subprocess.TimeoutExpired:
        return Availability(False, f"importing its library took more than {TIMEOUT_SECONDS} seconds")
    for line in reversed(asked.stdout.splitlines()):
        if line.startswith(_ANSWER):
            reason = json.loads(line.removeprefix(_ANSWER))
            return AVAILABLE if reason is None else Availability(False, reason)
    last = (asked.stderr.strip().splitlines() or ["no message"])[-1][:_SHOWN_CHARACTERS]
    end = f"signal {-asked.returncode}" if asked.returncode < 0 else f"exit status {asked.returncode}"
    return Availability(False, f"importing its library ended a child process with {end}: {last}")


def _memory(evaluator: str) -> Path:
    """The empty file that says that the evaluator's imports have worked in this Python as it is."""
    installed = sorted(f"{found.name} {found.version}" for found in distributions())
    origins = []
    for module in _LIBRARIES:
        spec = find_spec(module)
        if spec is not None and spec.origin is not None:
            status = Path(spec.origin).stat()
            origins.append((spec.origin, status.st_mtime_ns, status.st_size))
    decides = json.dumps([sys.executable, sys.version, _search_path(None), installed, origins])
    key = hashlib.sha256(f"{evaluator} {decides}".encode("utf-8", "surrogateescape")).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "opera-bench" / "available" / key


def _search_path(python: str | None) -> str:
    """Where the child looks for modules: where this process does, or for another Python its own places and ours."""
    if python is None:
        return os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return os.pathsep.join([str(_HOME), *filter(None, [os.environ.get("PYTHONPATH")])])
