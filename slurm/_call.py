"""Calls a job's function by its import path and describes an exception in one sentence."""

from __future__ import annotations

import importlib
import json

_MAX_REASON_CHARACTERS = 2000


def call(function: str, arguments: str) -> None:
    """Call ``package.module:name`` with keyword arguments given as a JSON object."""
    module, _, name = function.partition(":")
    getattr(importlib.import_module(module), name)(**json.loads(arguments))


def describe(error: BaseException) -> str:
    """Return the error's type and message, such as ``ValueError: negative epochs``."""
    message = str(error)
    kind = type(error).__name__
    return f"{kind}: {message}"[:_MAX_REASON_CHARACTERS] if message else kind
