"""Makes text of foreign files, such as keys, metadata and file names, safe to print. Imports no torch."""

from __future__ import annotations

NAME_CHARACTERS = 200
"""Longest key or name to show; the longest key of a shipped network has 60 characters."""


def printable(text: object) -> str:
    """Return the text with control characters, line breaks and other unprintable characters escaped, e.g. ``\\x1b``.

    In a terminal some of these characters colour, move or delete earlier output.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in str(text)
    )


def printable_name(name: object) -> str:
    """Return the name, escaped, and cut after ``NAME_CHARACTERS``."""
    text = str(name)
    return printable(text if len(text) <= NAME_CHARACTERS else f"{text[:NAME_CHARACTERS]}…")
