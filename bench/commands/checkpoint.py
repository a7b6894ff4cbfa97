"""``opera-bench checkpoint``: what a weights file is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Look into checkpoints.")


@app.callback()
def checkpoint() -> None:
    """Look into checkpoints."""


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A .safetensors file that a run left.")],
) -> None:
    """Print a checkpoint's header and size after verifying its checksum."""
    from safetensors import SafetensorError, safe_open

    from bench.errors import InputError
    from pretrain.checkpoint import file_sha256, read_header

    header = read_header(path)
    found = file_sha256(path)
    if found != header.sha256:
        raise InputError(
            f"{path}: truncated or altered, its SHA-256 is {found[:12]}… and its header says {header.sha256[:12]}…"
        )
    try:
        with safe_open(path, framework="numpy") as weights:
            shapes = {name: weights.get_slice(name).get_shape() for name in weights.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise InputError(f"{path}: not a safetensors file ({error})") from error
    for key, value in header.model_dump(mode="json").items():
        print(f"{key}: {value}")
    numbers = sum(_product(shape) for shape in shapes.values())
    print(f"tensors: {len(shapes)}\nnumbers: {numbers:,}\nbytes: {path.stat().st_size:,}")


def _product(shape: list[int]) -> int:
    import math

    return math.prod(shape)
