"""``opera-bench schema``: print JSON Schemas of sweep files and cluster profiles, for editors."""

from __future__ import annotations

from typing import Annotated

import typer


def schema(
    of: Annotated[str, typer.Argument(metavar="sweep|cluster", help="Which file: sweep or cluster.")],
) -> None:
    """Print the JSON Schema of sweep files or cluster profiles.

    An editor with a YAML language server completes and checks a file that names one in its first line:
    # yaml-language-server: $schema=PATH
    """
    from bench.sweep.schema import schema_text

    print(schema_text(of), end="")
