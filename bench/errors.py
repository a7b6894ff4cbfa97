"""What can be wrong with what a user typed, from the command line down to the data."""

from __future__ import annotations

from pretrain.errors import InputError as PretrainInputError
from results.errors import InputError as ResultsInputError
from slurm.errors import InputError as SlurmInputError


class InputError(ValueError):
    """One sentence a user can act on: what is wrong, where, what is allowed."""


INPUT_ERRORS: tuple[type[Exception], ...] = (
    InputError,
    PretrainInputError,
    ResultsInputError,
    SlurmInputError,
)
"""The errors of every floor that end a command with one line and exit status 2."""
