"""``opera-bench checkpoint``: inspect checkpoints and convert them between formats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from pretrain.config import Normalisation

app = typer.Typer(no_args_is_help=True, help="Inspect checkpoints and convert them between formats.")

PathArgument = Annotated[
    Path, typer.Argument(metavar="PATH", help="A checkpoint of a run or of another project: a file or a folder.")
]
FromOption = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="FORMAT",
        help="The checkpoint's format: opera_bench, moco_v3, dino, mae, timm, torchvision, …",
    ),
]
NormalisationOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Pixels in the training, if the file does not state them: imagenet (default), inception (mean and "
        "deviation 0.5) or none ([0, 1], SimCLR).",
    ),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        metavar="SET", help="If the file has several sets of weights: ema, raw, or a name that `inspect` prints."
    ),
]


@app.callback()
def checkpoint() -> None:
    """Inspect checkpoints and convert them between formats."""


@app.command()
def inspect(
    path: PathArgument,
    from_: FromOption = "auto",
    weights: WeightsOption = None,
    normalisation: NormalisationOption = None,
    keys: Annotated[bool, typer.Option("--keys", help="Also print every tensor: name, shape, type.")] = False,
) -> None:
    """Print the backbone, heads, role, hash and sizes of a checkpoint.

    A file that is unsafe, damaged or in no known format is refused.
    """
    from bench.sweep.errors import InputError
    from pretrain.foreign.parts.own import is_ours
    from pretrain.wording import printable

    pixels = _find_normalisation(normalisation)
    ours = from_ == "opera_bench" or (from_ == "auto" and is_ours(path))
    if ours and weights is not None:
        raise InputError(f"--weights {weights}: an opera_bench checkpoint has one set of weights; leave the option out")
    if ours and pixels is not None:
        raise InputError(
            f"--normalisation {normalisation}: an opera_bench checkpoint states its own; leave the option out"
        )
    facts, state = _our_facts(path) if ours else _facts(path, from_, weights, pixels)
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
            "--to", metavar="FORMAT", help="opera_bench, timm, torchvision, mmseg_vit, mm_resnet or huggingface."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="PATH", help="The file or folder to write; it must not exist.")],
    from_: FromOption = "auto",
    weights: WeightsOption = None,
    normalisation: NormalisationOption = None,
) -> None:
    """Convert a checkpoint to another format.

    Nothing is written if the conversion fails. Format opera_bench is a folder with backbone.safetensors and, if the
    file has all parts of a method, method.safetensors.
    """
    from bench.sweep.errors import InputError
    from pretrain.foreign.lookup import writable_format_names
    from pretrain.foreign.parts.conversion import OWN_FORMAT, read_checkpoint, write_checkpoint
    from pretrain.foreign.parts.writing import refuse_existing
    from pretrain.plugins import suggest
    from pretrain.wording import printable

    if to not in (known := (OWN_FORMAT, *writable_format_names())):
        raise InputError(f"--to {to}: can't write this format; {suggest(to, known)}")
    pixels = _find_normalisation(normalisation)
    refuse_existing(out)
    found = read_checkpoint(path, from_, weights, pixels)
    usage = write_checkpoint(found, to, out)
    print(f"{out}: {found.header.backbone}, {len(found.backbone)} tensors, from {found.format} to {to}")
    for note in found.notes:
        print(note)
    if found.left_out:
        print(f"left out: {', '.join(map(printable, found.left_out))}")
    print(f"load it with: {usage}")


def _find_normalisation(name: str | None) -> Normalisation | None:
    from bench.sweep.errors import InputError
    from pretrain.plugins import suggest
    from pretrain.subject import NORMALISATIONS

    if name is None:
        return None
    if name not in NORMALISATIONS:
        raise InputError(f"--normalisation {name}: {suggest(name, tuple(NORMALISATIONS))}")
    return NORMALISATIONS[name]


def _our_facts(path: Path) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
    """Return facts about an opera_bench checkpoint, verified against its weights, and the weights."""
    from pretrain.foreign.parts.conversion import OWN_FORMAT
    from pretrain.foreign.parts.own import own_weights, read_own

    state, header = read_own(path)
    size = own_weights(path).stat().st_size
    return {"format": OWN_FORMAT, **header.model_dump(mode="json"), "bytes": f"{size:,}"}, state


def _facts(
    path: Path, format_name: str, weights: str | None, normalisation: Normalisation | None
) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
    """Return facts about a foreign checkpoint, read from its content and its tensors' shapes, and the tensors."""
    from pretrain.foreign.lookup import readable_if_named, recognise
    from pretrain.foreign.parts.conversion import import_file
    from pretrain.foreign.parts.reading import read_foreign

    file = read_foreign(path, weights)
    found = import_file(file, format_name, normalisation)
    header, method = found.header.model_dump(mode="json"), found.method
    shown = ("backbone", "num_heads", "position_embedding", "image_size", "normalisation", "method", "epochs")
    facts: dict[str, Any] = {
        "format": ", ".join(recognise(file.state, file.facts)),
        "role": "backbone" if method is None else "method",
        **{name: header[name] for name in shown},
    }
    if method is not None:
        facts["method_options"] = ", ".join(f"{key} {value}" for key, value in method.options.items())
    if named := readable_if_named(file.state, file.facts):
        facts["format_if_named"] = ", ".join(named)
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
