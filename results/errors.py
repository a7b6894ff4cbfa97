"""What can be wrong with the records, tables and figures a user asked for."""


class InputError(ValueError):
    """One sentence a user can act on: what is wrong, where, what is allowed."""
