"""``opera-bench checkpoint``: inspect weights files and convert them between formats of other projects and ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

app = typer.Typer(no_args_is_help=True, help="Look into checkpoints and convert them.")

PathArgument = Annotated[
    Path, typer.Argument(metavar="PATH", help="A file that a run left or another project released, or a folder.")
]
FromOption = Annotated[
    str, typer.Option("--from", metavar="FORMAT", help="auto, opera_bench, moco_v3, opera, timm, torchvision, …")
]
WeightsOption = Annotated[
    str | None,
    typer.Option(metavar="SET", help="ema, raw, or a set's name, of a file that has several sets of weights."),
]


@app.callback()
def checkpoint() -> None:
    """Look into checkpoints and convert them."""


@app.command()
def inspect(
    path: PathArgument,
    from_: FromOption = "auto",
    weights: WeightsOption = None,
    keys: Annotated[bool, typer.Option("--keys", help="Also every tensor: name, shape, type.")] = False,
) -> None:
    """Print what a checkpoint is: backbone, attention heads, role, hash, sizes.

    A file that can't be trusted or is not recognised is refused.
    """
    from bench.sweep.errors import InputError
    from pretrain.foreign.parts.own import is_ours
    from pretrain.wording import printable

    ours = from_ == "opera_bench" or (from_ == "auto" and is_ours(path))
    if ours and weights is not None:
        raise InputError(f"--weights {weights}: a checkpoint of ours has one set of weights; leave the option out")
    facts, state = _our_facts(path) if ours else _facts(path, from_, weights)
    for name, value in (facts | _sizes(state)).items():
        for line in value if isinstance(value, tuple) else (value,):
            print(f"{name}: {printable(line)}")
    if keys:
        for name, tensor in state.items():
            print(f"{printable(name)}: {tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}")


@app.command()
def convert(
    path: PathArgument,
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="FORMAT", help="opera_bench, timm, torchvision, mmseg_vit, mm_resnet, huggingface."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="PATH", help="A file or folder that does not exist yet.")],
    from_: FromOption = "auto",
    weights: WeightsOption = None,
) -> None:
    """Write a checkpoint in another format, whole or not at all.

    To opera_bench: a folder with backbone.safetensors and, if the file holds all parts of a method, method.safetensors.
    """
    from bench.sweep.errors import InputError
    from pretrain.foreign.lookup import writable_format_names
    from pretrain.foreign.parts.conversion import OURS, read_checkpoint, write_checkpoint
    from pretrain.foreign.parts.writing import refuse_existing
    from pretrain.plugins import suggest
    from pretrain.wording import printable

    if to not in (known := (OURS, *writable_format_names())):
        raise InputError(f"--to {to}: no format that is written here; {suggest(to, known)}")
    refuse_existing(out)
    found = read_checkpoint(path, from_, weights)
    usage = write_checkpoint(found, to, out)
    print(f"{out}: {found.header.backbone}, {len(found.backbone)} tensors, from {found.format} to {to}")
    for note in found.notes:
        print(note)
    if found.left_out:
        print(f"left out: {', '.join(map(printable, found.left_out))}")
    print(f"load it with: {usage}")


def _our_facts(path: Path) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
    """The header and file size of a checkpoint of ours, verified against its weights, and the weights."""
    from pretrain.foreign.parts.conversion import OURS
    from pretrain.foreign.parts.own import own_weights, read_own

    state, header = read_own(path)
    size = own_weights(path).stat().st_size
    return {"format": OURS, **header.model_dump(mode="json"), "bytes": f"{size:,}"}, state


def _facts(path: Path, format_name: str, weights: str | None) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
    """Facts about a foreign checkpoint, read from its content and its tensors' shapes, and its tensors."""
    from pretrain.foreign.lookup import recognise
    from pretrain.foreign.parts.conversion import import_file
    from pretrain.foreign.parts.reading import read_foreign

    file = read_foreign(path, weights)
    found = import_file(file, format_name)
    header, method = found.header.model_dump(mode="json"), found.method
    told = ("backbone", "num_heads", "position_embedding", "image_size", "normalisation", "method", "epochs")
    facts: dict[str, Any] = {
        "format": ", ".join(recognise(file.state, file.facts)),
        "role": "backbone" if method is None else "method",
        **{name: header[name] for name in told},
    }
    if method is not None:
        facts["method_options"] = ", ".join(f"{key} {value}" for key, value in method.options.items())
    sets = file.choice.sets
    facts |= {"left_out": ", ".join(found.left_out) or "nothing", "sha256": header["sha256"]}
    if len(sets) > 1:
        facts["weights"] = tuple(f"{each}{' (read)' if each is file.choice.read else ''}" for each in sets)
    return facts | {"note": found.notes}, file.state


def _sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    names = list(state)
    return {
        "tensors": len(state),
        "numbers": f"{sum(tensor.numel() for tensor in state.values()):,}",
        "keys": ", ".join(names if len(names) <= 4 else [*names[:2], "…", *names[-2:]]),
    }
