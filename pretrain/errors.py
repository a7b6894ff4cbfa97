"""What can be wrong with the data, recipes and checkpoints a user named."""


class InputError(ValueError):
    """One sentence a user can act on: what is wrong, where, what is allowed."""


class StoppedEarly(Exception):  # noqa: N818
    """Work ended before its time because it was asked to; its state is saved and the same call goes on from there."""
