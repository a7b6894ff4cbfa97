"""Checks whether a Python can run an evaluator by calling its ``unavailable()`` in a child process of that Python.

An import can raise, exit or crash, and the loaded library stays in memory, so nothing is imported in this process.
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
"""Importing torch and the libraries takes 10 seconds, or minutes if a network disk has not cached them yet."""
_LIBRARIES = ("torch", "numpy", "cv2", "pycocotools", "mmengine", "mmcv", "mmseg", "mmdet")
"""Modules whose path, size and modification time identify an installation."""
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
    """Like ``ask_availability``, but cache a success between commands, because an import takes ten seconds.

    The cache depends on the interpreter, its search path and the versions of all installed distributions. Only
    ``ask_availability`` notices edits inside a library, so commands that compute must call that one.
    """
    memory = None if python else _cache_file(evaluator)
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
    """Return whether a Python can run an evaluator; cached for the life of this process.

    Parameters
    ----------
    python
        Path or name of another interpreter. If it can't be started on this machine, ``can_run`` is None.
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


def _cache_file(evaluator: str) -> Path:
    """Return the path of the empty file that records that the evaluator's imports work in this Python."""
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
    """Return the child's module search path: this process's, or for another Python this project's directory."""
    if python is None:
        return os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return os.pathsep.join([str(_HOME), *filter(None, [os.environ.get("PYTHONPATH")])])
