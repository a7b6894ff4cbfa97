"""What can be wrong with the data, recipes and checkpoints a user named."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class InputError(ValueError):
    """One sentence a user can act on: what is wrong, where, what is allowed.

    Parameters
    ----------
    key
        The keys that lead to the setting that is wrong, such as ``("optimizer", "momentum")``. Who knows the file puts
        its line before the message.
    """

    def __init__(self, message: str, *, key: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.key = key


def shorten(text: str, length: int = 80) -> str:
    """``text`` as one line of at most ``length`` characters, without control characters."""
    line = "".join(character if character.isprintable() else " " for character in text[: length + 1])
    return line if len(line) <= length else f"{line[: length - 1]}…"


class StoppedEarly(Exception):  # noqa: N818
    """Work ended before its time because it was asked to; the same call goes on from the state that is saved.

    ``progressed`` is whether that state is further than the one this call began with.
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
