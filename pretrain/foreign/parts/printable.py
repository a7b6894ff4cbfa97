"""Text of foreign files, such as keys, metadata and file names, made safe to print. Pure; imports no torch."""

from __future__ import annotations

NAME_CHARACTERS = 200
"""A key or a name is shown up to here; the longest key of a shipped network has 60 characters."""


def printable(text: object) -> str:
    """The text with control characters, line breaks and other unprintable characters as escapes such as ``\\x1b``.

    A terminal acts on some of these characters: they colour, move or delete what was printed before.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in str(text)
    )


def printable_name(name: object) -> str:
    """The name, escaped, and cut where it is longer than ``NAME_CHARACTERS``."""
    text = str(name)
    return printable(text if len(text) <= NAME_CHARACTERS else f"{text[:NAME_CHARACTERS]}…")
