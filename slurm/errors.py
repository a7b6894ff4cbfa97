"""The error for wrong input to an executor."""


class InputError(ValueError):
    """One sentence a user can act on: what is wrong, where, what is allowed.

    ``key`` is the path of keys to the wrong setting. A caller that knows the file adds the line number to the message.
    """

    def __init__(self, message: str, *, key: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.key = key
