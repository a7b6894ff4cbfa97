"""Exceptions whose messages are for the user."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class InputError(ValueError):
    """A mistake in what the user typed or named. The message says what is wrong, where, and what is allowed.

    Parameters
    ----------
    key
        Keys that lead to the wrong setting, such as ``("optimizer", "momentum")``. Code that knows the file puts file
        and line before the message.
    """

    def __init__(self, message: str, *, key: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.key = key


def shorten(text: str, length: int = 80) -> str:
    """Return ``text`` as one line of at most ``length`` characters, without control characters."""
    line = "".join(character if character.isprintable() else " " for character in text[: length + 1])
    return line if len(line) <= length else f"{line[: length - 1]}…"


class StoppedEarly(Exception):  # noqa: N818
    """A run stopped before its end on request. The same call continues from the saved state.

    ``progressed`` is true if this call saved a later state than the one it started from.
    """

    def __init__(self, message: str, *, progressed: bool = True) -> None:
        super().__init__(message)
        self.progressed = progressed


@contextlib.contextmanager
def without_worker_traceback() -> Iterator[None]:
    """Raise an InputError of a loader's worker with its sentence alone: the worker puts its traceback before it."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error).strip().splitlines()[-1].rpartition("InputError: ")[2]) from error
