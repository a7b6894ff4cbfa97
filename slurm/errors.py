"""What can be wrong with what a user asked of an executor."""


class InputError(ValueError):
    """One sentence a user can act on: what is wrong, where, what is allowed.

    ``key`` leads to the setting that is wrong; who knows the file puts its line before the message.
    """

    def __init__(self, message: str, *, key: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.key = key
