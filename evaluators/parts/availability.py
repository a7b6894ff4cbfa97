"""Whether a Python can run an evaluator: its ``unavailable()``, called in a child process of that Python.

An import can raise, end the process or crash it, and what it loads stays loaded, so none happens in the process that
asks.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from evaluators.lookup import find_evaluator

TIMEOUT_SECONDS = 300
"""Importing torch and the libraries takes 10 seconds, and minutes from a network disk that has not read them yet."""
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


def _search_path(python: str | None) -> str:
    """Where the child looks for modules: where this process does, or for another Python its own places and ours."""
    if python is None:
        return os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return os.pathsep.join([str(_HOME), *filter(None, [os.environ.get("PYTHONPATH")])])
