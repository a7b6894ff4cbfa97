"""``opera-bench schema``: print JSON Schemas of sweep files and cluster profiles, for editors."""

from __future__ import annotations

from typing import Annotated

import typer


def schema(
    of: Annotated[str, typer.Argument(metavar="sweep|cluster", help="The kind of file.")],
) -> None:
    """Print the JSON Schema of sweep files or cluster profiles.

    Save it to PATH. An editor with a YAML language server then completes and checks files whose first line is:
    # yaml-language-server: $schema=PATH
    """
    from bench.sweep.schema import schema_text

    print(schema_text(of), end="")
