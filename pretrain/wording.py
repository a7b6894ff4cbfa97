"""Words for messages about files: names that are safe to print, and how a state dict differs from the expected one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pretrain.errors import InputError

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


def refuse_differences(
    found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]], what: str
) -> None:
    """Check keys and shapes.

    Raises
    ------
    InputError
        Keys are missing, left over or of another shape; the message lists the first of them.
    """
    problems = differences(found, expected)
    if problems:
        raise InputError(f"{what}: {listed(problems)}")


def differences(found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Return ``missing norm.bias``, ``unexpected gamma``, ``cls_token is (1, 1, 8), not (1, 1, 16)`` and the like."""
    return [
        *(f"missing {key}" for key in expected if key not in found),
        *(f"unexpected {key}" for key in found if key not in expected),
        *(f"{key} is {found[key]}, not {shape}" for key, shape in expected.items() if found.get(key, shape) != shape),
    ]


def listed(words: Iterable[str], at_most: int = 5) -> str:
    """Return the first few words, escaped, and the number of further ones."""
    words = list(words)
    more = f"; and {len(words) - at_most} more" if len(words) > at_most else ""
    return "; ".join(map(printable_name, words[:at_most])) + more
