"""The error for wrong input to an executor, and hints for misspelt words."""

from __future__ import annotations

import difflib
from collections.abc import Collection


class InputError(ValueError):
    """One sentence a user can act on: what is wrong, where, what is allowed."""


def suggest(word: str, allowed: Collection[str]) -> str:
    """Return a hint for a misspelt word: ``did you mean 'local'? allowed: inline, local``."""
    near = difflib.get_close_matches(word, allowed, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}allowed: {', '.join(allowed)}"
