"""Converts a file of any format to one of our checkpoints in memory, and writes it as any format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pretrain.checkpoint import (
    BACKBONE_FILE,
    METHOD_FILE,
    CheckpointHeader,
    read_header,
    save_checkpoint,
    shapes_of,
)
from pretrain.config import NORMALISATIONS, Normalisation
from pretrain.errors import InputError
from pretrain.foreign.interface import Facts, Imported, MethodParts, State
from pretrain.foreign.lookup import find_format, find_writable_format, format_names, readable_if_named, recognise
from pretrain.foreign.parts import beit
from pretrain.foreign.parts.hub_config import TRANSFORMERS_ADVICE
from pretrain.foreign.parts.identify import identify_backbone, method_shapes
from pretrain.foreign.parts.own import is_ours, own_weights, read_own
from pretrain.foreign.parts.reading import ForeignFile, read_foreign
from pretrain.foreign.parts.resnet import refuse_caffe_style
from pretrain.foreign.parts.vit import checked_geometry, looks_like_vit
from pretrain.foreign.parts.writing import new_path, write_file, write_folder
from pretrain.methods.lookup import method_names
from pretrain.wording import listed, printable, printable_name, refuse_differences

if TYPE_CHECKING:
    from torch import Tensor

AUTO = "auto"
OWN_FORMAT = "opera_bench"
"""The command line's name of our format: safetensors with a JSON header beside it."""
IMAGENET = NORMALISATIONS["imagenet"]
"""Normalisation assumed unless the file states another."""
UNKNOWN_METHOD = "unknown"
"""Method in the header if neither the file nor its layout shows it."""
_TRANSFORMERS_KEYS = {"embeddings.cls_token", "encoder.layer.0.attention.attention.query.weight"}
DEFAULT_IMAGE_SIZE = 224
"""Side in pixels assumed for a ResNet, whose shapes don't show it."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory.

    Parameters
    ----------
    header
        The backbone's header. For a foreign file, ``sha256`` is the file's, and ``run_id`` names format and file.
    method
        All parts of the method, if the file has them.
    left_out
        Keys of the file that are neither in the backbone nor in the method.
    notes
        One sentence per choice or assumption: the set of weights, the prefix, the counters.
    """

    header: CheckpointHeader
    backbone: dict[str, Tensor]
    method: MethodParts | None = None
    left_out: tuple[str, ...] = ()
    format: str = OWN_FORMAT
    notes: tuple[str, ...] = ()


def read_checkpoint(
    path: Path, format_name: str = AUTO, weights: str | None = None, normalisation: Normalisation | None = None
) -> Checkpoint:
    """Read and check a checkpoint of ours or of any format; for ``weights`` see ``read_foreign``.

    ``normalisation`` is what the user knows of the pixels, as for ``import_file``.

    Raises
    ------
    InputError
        The format is unknown or does not fit; the file is truncated, altered, incomplete, or has another role or model.
    """
    if format_name not in (AUTO, OWN_FORMAT):
        find_format(format_name)
    if format_name == OWN_FORMAT or (format_name == AUTO and is_ours(path)):
        if (role := read_header(own_weights(path)).role) != "backbone":
            raise InputError(f"{path}: holds a {role}; take the {BACKBONE_FILE} beside it")
        if weights is not None:
            raise InputError(f"{path}: an opera_bench checkpoint has one set of weights; leave out weights {weights}")
        state, header = read_own(path)
        _refuse_other_pixels(header.normalisation, normalisation, path)
        return Checkpoint(header, state)
    return import_file(read_foreign(path, weights), format_name, normalisation)


def import_file(file: ForeignFile, format_name: str = AUTO, normalisation: Normalisation | None = None) -> Checkpoint:
    """Return a foreign file under our names, with its backbone identified and every key accounted for.

    ``normalisation`` is that of the training, if the user knows it; without it, the file's or ImageNet's is assumed.
    """
    try:
        return _import_file(file, format_name, normalisation)
    except InputError as error:
        raise InputError(printable(f"{error}{file.choice.alternatives}")) from error


def _import_file(file: ForeignFile, format_name: str, normalisation: Normalisation | None) -> Checkpoint:
    _refuse_other_pixels(file.facts.normalisation, normalisation, file.path)
    name = choose_format(file, format_name)
    counters = _missing_counters(file.state)
    try:
        refuse_caffe_style(file.state)  # check before counters are added: folded normalisations have none
        imported = find_format(name).to_ours({**file.state, **counters}, file.facts)
        backbone = {key: _plain(tensor) for key, tensor in imported.backbone.items()}
        info = identify_backbone(backbone, imported.num_heads, f"{name} backbone")
        image_size = _image_size(backbone, file.facts)
        if imported.method is not None:
            whole = {**{f"backbone.{key}": tensor for key, tensor in backbone.items()}, **imported.method.state}
            refuse_differences(
                shapes_of(whole), method_shapes(info.name, image_size, imported.method), f"{name} method"
            )
    except InputError as error:
        raise InputError(f"{file.path}: {error}") from error
    header = CheckpointHeader(
        role="backbone",
        backbone=info.name,
        num_heads=info.num_heads,
        position_embedding=info.position_embedding,
        image_size=image_size,
        normalisation=normalisation or file.facts.normalisation or IMAGENET,
        method=file.facts.method
        or (imported.method.name if imported.method else imported.trained_with)
        or UNKNOWN_METHOD,
        epochs=file.facts.epochs,
        run_id=f"imported-{name}-{file.sha256[:10]}",
        sha256=file.sha256,
    )
    return Checkpoint(header, backbone, imported.method, imported.left_out, name, _notes(file, imported, counters))


def choose_format(file: ForeignFile, format_name: str = AUTO) -> str:
    """Return the format ``format_name`` if it fits the file; for ``auto`` the first format that does.

    Raises
    ------
    InputError
        No format fits; the message shows some of the file's keys.
    """
    found = recognise(file.state, file.facts)
    if format_name == AUTO:
        if found:
            return found[0]
        what = f"no format recognises it (there are {', '.join(format_names())})"
    elif format_name in (*found, *readable_if_named(file.state, file.facts)):
        return format_name
    else:
        what = f"not of format {format_name}" + (f" but {' or '.join(found)}" if found else "")
    if _TRANSFORMERS_KEYS & {name.removeprefix("vit.") for name in file.state}:
        what += f"; these are keys of transformers' ViT: {TRANSFORMERS_ADVICE}"
    raise InputError(f"{file.path}: {what}; its {len(file.state)} keys begin {listed(sorted(file.state), 3)}")


def write_checkpoint(checkpoint: Checkpoint, format_name: str, out: Path) -> str:
    """Write ``out`` completely or not at all; return the code that loads it.

    Raises
    ------
    InputError
        The format is unknown, ``out`` exists or has the wrong ending, or the format can't hold this backbone.
    """
    if format_name == OWN_FORMAT:
        with new_path(out) as folder:
            write_ours(checkpoint, folder, checkpoint.header.run_id)
        return f'pretrain.checkpoint.load_backbone(Path("{out / BACKBONE_FILE}"))'
    target = find_writable_format(format_name)
    endings = target.INFO.written_as
    if endings != "folder" and out.suffix not in endings:
        raise InputError(f"{out}: {format_name} is written as {' or '.join(endings)}")
    exported = target.from_ours(checkpoint.backbone, checkpoint.header)
    with new_path(out) as temporary:
        (write_folder if endings == "folder" else write_file)(temporary, exported, checkpoint.header)
    read = 'torch.load("PATH", weights_only=True)["state_dict"]'
    if out.suffix == ".safetensors":
        read = 'safetensors.torch.load_file("PATH")'
    return exported.usage.replace("TENSORS", read).replace("PATH", str(out))


def write_ours(checkpoint: Checkpoint, folder: Path, run_id: str, **facts: object) -> dict[str, CheckpointHeader]:
    """Write ``backbone.safetensors`` and, if all parts are there, ``method.safetensors``; return their headers by role.

    ``facts`` override the header's fields: the method and epochs that a user declares.
    """
    common = {**checkpoint.header.model_dump(exclude={"role", "sha256"}), "run_id": run_id, **facts}
    headers = {}
    if checkpoint.method is not None:
        state = {f"backbone.{name}": tensor for name, tensor in checkpoint.backbone.items()}
        state |= {name: _plain(tensor) for name, tensor in checkpoint.method.state.items()}
        headers["method"] = save_checkpoint(folder / METHOD_FILE, state, {**common, "role": "method"})
    headers["backbone"] = save_checkpoint(folder / BACKBONE_FILE, checkpoint.backbone, {**common, "role": "backbone"})
    return headers


def refuse_contradictions(checkpoint: Checkpoint, declared: Mapping[str, Any]) -> None:
    """Compare ``backbone``, ``epochs`` and ``method``; a user may state what the file does not.

    A method's name that this suite does not have is the user's own name for the file and contradicts nothing.

    Raises
    ------
    InputError
        The file states another value; the message names both.
    """
    header = checkpoint.header
    if header.backbone != declared["backbone"]:
        raise InputError(f"holds {header.backbone}, but the sweep says {declared['backbone']}")
    if header.epochs is not None and declared["epochs"] not in (None, *_epochs(header.epochs, checkpoint.format)):
        raise InputError(f"trained for {header.epochs} epochs, but the sweep says {declared['epochs']}")
    named = declared["method"] in method_names()
    if named and header.method not in (UNKNOWN_METHOD, declared["method"]):
        raise InputError(f"trained with {header.method}, but the sweep says {declared['method']}")


def _epochs(stated: int, format_name: str) -> tuple[int, ...]:
    """Return the numbers of epochs that a file may mean by ``epoch``; most projects save the index of the last one."""
    counts = format_name != OWN_FORMAT and find_format(format_name).INFO.counts_finished_epochs
    return (stated,) if counts else (stated, stated + 1)


def _refuse_other_pixels(stated: Normalisation | None, declared: Normalisation | None, path: Path) -> None:
    if stated is not None and declared is not None and declared != stated:
        raise InputError(
            f"{path}: the file states mean {stated.mean} and std {stated.std}, not {declared.mean} and {declared.std}; "
            "leave the normalisation out"
        )


def _missing_counters(state: State) -> dict[str, Tensor]:
    """Return zeros for batch normalisation's counters if a file has none at all.

    torch's strict load also accepts such networks, saved before torch 0.4.1. Nothing here reads the counters.
    """
    import torch

    if any(name.endswith("num_batches_tracked") for name in state):
        return {}
    norms = [name.removesuffix("running_var") for name in state if name.endswith("running_var")]
    return {f"{norm}num_batches_tracked": torch.zeros((), dtype=torch.int64) for norm in norms}


def _notes(file: ForeignFile, imported: Imported, counters: Mapping[str, Tensor]) -> tuple[str, ...]:
    read, sets = file.choice.read, file.choice.sets
    notes = []
    if len(sets) > 1:
        notes.append(
            f"read the weights {read}; the file also has {', '.join(str(other) for other in sets if other is not read)}"
        )
    if read.stripped:
        notes.append(f"stripped the prefix {printable_name(read.stripped)} from every key")
    if counters:
        notes.append(
            f"the file has no num_batches_tracked: {len(counters)} counters are 0, as torch's strict load sets them"
        )
        if any(name.endswith("conv3.weight") for name in imported.backbone):
            notes.append(
                "its keys and shapes are also those of a ResNet in Caffe's style (stride in the first convolution, "
                "BGR); it is read as torchvision's"
            )
    if file.choice.beside:
        notes.append(f"not read, because they are in no set of weights: {listed(file.choice.beside)}")
    is_plain = imported.trained_with is None and not file.facts.trained_tensors
    if imported.left_out and is_plain and read.stripped:
        notes.append(
            "the classifier is left out; the file does not show whether the backbone was trained with it or frozen"
        )
    stated_heads = file.facts.num_heads
    if imported.num_heads is not None and stated_heads is None and imported.method is None:
        notes.append(f"num_heads {imported.num_heads} follows from the format, the file does not state it")
    return (*notes, *imported.notes)


def _image_size(backbone: State, facts: Facts) -> int:
    """Return the side in pixels: from a ViT's positions; for a ResNet from the file, else ImageNet's 224."""
    if looks_like_vit(backbone):
        return checked_geometry(backbone, "backbone").image_size
    if beit.looks_relative(backbone):
        return beit.checked_geometry(backbone, "backbone").image_size
    return facts.image_size or DEFAULT_IMAGE_SIZE


def _plain(tensor: Tensor) -> Tensor:
    """Return a copy in single precision, which computations here use, that shares no memory with other tensors."""
    import torch

    return tensor.to(torch.float32, copy=True) if tensor.is_floating_point() else tensor.clone()
