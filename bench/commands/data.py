"""``opera-bench data``: list, prepare and check datasets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pretrain.datasets.interface import DatasetModule

app = typer.Typer(no_args_is_help=True, help="List, download and check datasets.")

NameArgument = Annotated[
    str, typer.Argument(metavar="DATASET", help="A dataset's name; `opera-bench data list` prints all.")
]
RootArgument = Annotated[
    Path | None, typer.Argument(metavar="DIR", help="The dataset's directory; leave it out for data in a package.")
]


@app.command("list")
def list_() -> None:
    """List all datasets."""
    from rich.table import Table

    from bench.show.status import wide_console
    from pretrain.datasets.lookup import DATASETS, describe_datasets

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("dataset", "title", "classes", "images", "where"):
        table.add_column(title, overflow="fold")
    for info in describe_datasets():
        sizes = ", ".join(f"{split} {size:,}" for split, size in info.sizes.items() if size) or "those of the files"
        where = "needs a directory" if info.needs_root else "comes with a package"
        table.add_row(info.name, info.title, str(info.num_classes or ""), sizes, where)
    wide_console().print(table)
    for sentence in DATASETS.refusals():
        print(sentence)


@app.command()
def prepare(name: NameArgument, root: RootArgument = None) -> None:
    """Download a dataset into a directory (CIFAR, Flowers, Pets)."""
    _dataset(name, root).prepare(root)
    where = f" {root}" if root else ""
    print(f"{name} is ready{where and f' in{where}'}; check it with: opera-bench data check {name}{where}")


@app.command()
def check(name: NameArgument, root: RootArgument = None) -> None:
    """Check a dataset and print one line per problem; for own images, also how they are read.

    Exits with status 1 if there is a problem.
    """
    from bench.launch.preflight import check_data

    module = _dataset(name, root)
    problems = check_data(name, root)
    for problem in problems:
        print(problem)
    if not problems and hasattr(module, "describe"):
        for line in module.describe(root):
            print(line)
    if problems:
        raise typer.Exit(1)
    print(f"{name}: no problem found")


def _dataset(name: str, root: Path | None) -> DatasetModule:
    from bench.sweep.errors import InputError
    from pretrain.datasets import find_dataset

    module = find_dataset(name)
    if module.INFO.needs_root and root is None:
        raise InputError(f"dataset {name} needs its directory; type: opera-bench data … {name} DIR")
    return module
