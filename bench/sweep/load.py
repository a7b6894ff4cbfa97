"""Loads a sweep as a command names it: a file or a shipped name, ``--set`` and ``--tiny``. Imports no torch."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from bench.sweep.include import compose
from bench.sweep.model import Sweep
from bench.sweep.tiny import shrink_sweep


def load_sweep(name_or_path: str, overrides: tuple[str, ...] = (), *, tiny: bool = False) -> Sweep:
    """Read a sweep by path or by shipped name, with ``--set`` assignments laid over it.

    Parameters
    ----------
    tiny
        Shrink the sweep, assignments included, to digits (``bench.sweep.tiny``).

    Raises
    ------
    InputError
        No such sweep, or anything in it that can't be meant; the message names file and line.
    """
    sweep = compose(name_or_path, overrides)
    if tiny:
        sweep = shrink_sweep(sweep)
    sweep.path = str(Path(name_or_path).resolve()) if os.path.isfile(name_or_path) else None  # noqa: PTH113
    typed = json.dumps([sweep.name, sweep.path, sorted(overrides), tiny])
    sweep.asked_as = hashlib.sha256(typed.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return sweep
