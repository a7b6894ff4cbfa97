"""What can be wrong with what a user asked of an executor."""


class InputError(ValueError):
    """One sentence a user can act on: what is wrong, where, what is allowed."""
