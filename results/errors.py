"""The error that ``results`` raises for invalid records, tables and figures."""


class InputError(ValueError):
    """An error whose message tells the user what is wrong, where, and what is allowed."""
