"""What can be wrong with the data, recipes and checkpoints a user named."""


class InputError(ValueError):
    """One sentence a user can act on: what is wrong, where, what is allowed."""


class StoppedEarly(Exception):  # noqa: N818
    """Work ended before its time because it was asked to; the same call goes on from the state that is saved.

    ``progressed`` is whether that state is further than the one this call began with.
    """

    def __init__(self, message: str, *, progressed: bool = True) -> None:
        super().__init__(message)
        self.progressed = progressed
