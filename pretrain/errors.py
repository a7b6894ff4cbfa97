"""What can be wrong with the data, recipes and checkpoints a user named."""


class InputError(ValueError):
    """One sentence a user can act on: what is wrong, where, what is allowed."""
