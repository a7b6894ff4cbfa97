"""Collects the errors that report invalid user input, from all packages."""

from __future__ import annotations

from pretrain.errors import InputError
from results.errors import InputError as ResultsInputError
from slurm.job import InputError as SlurmInputError

__all__ = ["INPUT_ERRORS", "InputError"]

INPUT_ERRORS: tuple[type[Exception], ...] = (InputError, ResultsInputError, SlurmInputError)
"""Errors that end a command with one line and exit status 2."""
