"""Reads our own weights files; checks the header against the weights, as strictly as for foreign files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pretrain.backbones.lookup import find_backbone
from pretrain.checkpoint import BACKBONE_FILE, CheckpointHeader, header_path, load_state, shapes_of
from pretrain.errors import InputError
from pretrain.foreign.parts.identify import backbone_shapes
from pretrain.foreign.parts.usable import refuse_unusable
from pretrain.foreign.parts.vit import checked_geometry
from pretrain.wording import refuse_differences

if TYPE_CHECKING:
    from torch import Tensor

_PART_OF_METHOD = "backbone."


def own_weights(path: Path) -> Path:
    """Return the backbone in a run, its ``checkpoints`` or a folder that ``convert`` wrote; else ``path``."""
    for folder in (path, path / "checkpoints"):
        if (folder / BACKBONE_FILE).is_file():
            return folder / BACKBONE_FILE
    return path


def is_ours(path: Path) -> bool:
    """Return whether ``path`` is, or contains, a weights file of this suite, which has a header beside it."""
    weights = own_weights(path)
    return weights.suffix == ".safetensors" and header_path(weights).is_file()


def read_own(path: Path) -> tuple[dict[str, Tensor], CheckpointHeader]:
    """Return the tensors and the header of a backbone or a whole method.

    Raises
    ------
    InputError
        The file is truncated or altered, its values can't be weights, or the backbone is unknown or another one.
    """
    weights = own_weights(path)
    state, header = load_state(weights)
    refuse_unusable(weights, state)
    try:
        info = find_backbone(header.backbone).INFO
        for name in ("num_heads", "position_embedding"):
            stated, known = getattr(header, name), getattr(info, name)
            if stated != known:
                raise InputError(f"the header says {name} {stated}, {header.backbone} has {known}")
        prefix = "" if header.role == "backbone" else _PART_OF_METHOD
        backbone = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
        if info.family == "vit" and info.position_embedding != "relative":
            # Check before building a network of a size that only the header states.
            size = checked_geometry(backbone, f"not {header.backbone}").image_size
            if size != header.image_size:
                raise InputError(f"the header says image_size {header.image_size}, the weights are of {size}")
        refuse_differences(
            shapes_of(backbone), backbone_shapes(header.backbone, header.image_size), f"not {header.backbone}"
        )
    except InputError as error:
        raise InputError(f"{weights}: {error}") from error
    return state, header
