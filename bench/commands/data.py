"""``opera-bench data``: list, prepare and check datasets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pretrain.datasets.interface import DatasetModule

app = typer.Typer(no_args_is_help=True, help="List, download and verify datasets.")

NameArgument = Annotated[str, typer.Argument(metavar="DATASET")]
RootArgument = Annotated[
    Path | None, typer.Argument(metavar="DIR", help="Its directory; none for data that a package carries.")
]


@app.command("list")
def list_() -> None:
    """List the datasets there are."""
    from rich.table import Table

    from bench.show.status import wide_console
    from pretrain.datasets.lookup import DATASETS, describe_datasets

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("dataset", "title", "classes", "images", "where"):
        table.add_column(title, overflow="fold")
    for info in describe_datasets():
        sizes = ", ".join(f"{split} {size:,}" for split, size in info.sizes.items())
        where = "needs a directory" if info.needs_root else "comes with a package"
        table.add_row(info.name, info.title, str(info.num_classes), sizes, where)
    wide_console().print(table)
    for sentence in DATASETS.refusals():
        print(sentence)


@app.command()
def prepare(name: NameArgument, root: RootArgument = None) -> None:
    """Download a dataset into a directory, in the layout that is read here."""
    _dataset(name, root).prepare(root)
    print(f"{name} is prepared{f' in {root}' if root else ''}; verify it with: opera-bench data check {name}")


@app.command()
def check(name: NameArgument, root: RootArgument = None) -> None:
    """Verify a dataset; every problem is a line, and exit status 1."""
    from bench.launch.preflight import check_data

    _dataset(name, root)
    problems = check_data(name, root)
    for problem in problems:
        print(problem)
    if problems:
        raise typer.Exit(1)
    print(f"{name}: all well")


def _dataset(name: str, root: Path | None) -> DatasetModule:
    from bench.sweep.errors import InputError
    from pretrain.datasets import find_dataset

    module = find_dataset(name)
    if module.INFO.needs_root and root is None:
        raise InputError(f"dataset {name} needs its directory: opera-bench data … {name} DIR")
    return module
