"""Defines the command line ``opera-bench``. Commands import their modules when called, so that ``--help`` is fast."""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Callable

import typer

from bench.commands.cancel import cancel
from bench.commands.checkpoint import app as checkpoint_app
from bench.commands.compare import compare
from bench.commands.data import app as data_app
from bench.commands.doctor import doctor
from bench.commands.evaluate import evaluate
from bench.commands.figures import figures
from bench.commands.logs import logs
from bench.commands.plan import plan
from bench.commands.pretrain import pretrain
from bench.commands.report import report
from bench.commands.retry import retry
from bench.commands.run import run
from bench.commands.schema import schema
from bench.commands.status import status
from bench.commands.tables import tables

BAD_INPUT = 2


def build_app() -> typer.Typer:
    """Build the application with all commands, in the order in which ``--help`` lists them."""
    app = typer.Typer(
        help="Pretrain image backbones with OPERA and its baselines, evaluate them, and make the paper's tables and "
        "figures.\n\nTo begin, `opera-bench doctor` checks this machine, and `opera-bench run digits` runs a sweep "
        "that needs no data and no GPU.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        # Importing and using rich would take most of the time of --help.
        rich_markup_mode=None,
    )
    commands: tuple[Callable[..., None], ...] = (
        *(run, plan, status, logs, cancel, retry),
        *(tables, figures, compare, report),
        *(doctor, schema, pretrain, evaluate),
    )
    for command in commands:
        app.command()(command)
    app.add_typer(checkpoint_app, name="checkpoint")
    app.add_typer(data_app, name="data")
    return app


UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
DISK_ERRORS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG),
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ESTALE),
)
"""Error numbers of a full, failing or unwritable disk, and of paths that aren't the expected file or directory. A
command that meets one ends with one sentence, not with a traceback."""


def main() -> None:
    """Run ``opera-bench``. A user's error is printed as one line on standard error and gives exit status 2."""
    from bench.sweep.errors import INPUT_ERRORS

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # characters that the terminal's encoding lacks are escaped
            stream.reconfigure(errors="backslashreplace")
    try:
        build_app()()
    except INPUT_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except BrokenPipeError:
        # A pipe's reader such as `| head` has closed it. Without stdout, Python doesn't report the error again at exit.
        sys.stdout = None
        sys.exit(0)
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        hint = "; choose a directory you may write to, with --runs or --out" if error.errno in UNWRITABLE else ""
        print(f"error: {error.filename or 'a file'}: {error.strerror}{hint}", file=sys.stderr)
        sys.exit(BAD_INPUT)


if __name__ == "__main__":
    main()
