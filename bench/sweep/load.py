"""Loads a command's sweep, a file or a shipped name, and applies ``--set`` and ``--tiny``. Doesn't import torch."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from bench.sweep.file import ALL_ROWS, OWN_ROWS
from bench.sweep.include import compose
from bench.sweep.model import Sweep
from bench.sweep.tiny import shrink_sweep


def load_sweep(name_or_path: str, overrides: tuple[str, ...] = (), *, tiny: bool = False) -> Sweep:
    """Read a sweep by path or shipped name, and apply ``--set`` assignments.

    Parameters
    ----------
    tiny
        After the assignments, shrink the sweep to digits (``bench.sweep.tiny``). All groups of rows are planned unless
        the sweep or an assignment sets ``rows``.

    Raises
    ------
    InputError
        The sweep does not exist or is invalid; the message names file and line.
    """
    sweep = compose(name_or_path, overrides, ALL_ROWS if tiny else OWN_ROWS)
    if tiny:
        sweep = shrink_sweep(sweep)
    sweep.path = str(Path(name_or_path).resolve()) if os.path.isfile(name_or_path) else None  # noqa: PTH113
    typed = json.dumps([sweep.name, sweep.path, sorted(overrides), tiny])
    sweep.asked_as = hashlib.sha256(typed.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return sweep
