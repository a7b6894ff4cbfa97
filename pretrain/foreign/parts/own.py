"""Our own weights files, checked as strictly as foreign ones: the header is believed only where the weights agree."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pretrain.backbones.lookup import find_backbone
from pretrain.checkpoint import BACKBONE_FILE, CheckpointHeader, header_path, load_state
from pretrain.errors import InputError
from pretrain.foreign.parts.differences import refuse_differences
from pretrain.foreign.parts.identify import backbone_shapes
from pretrain.foreign.parts.usable import refuse_unusable
from pretrain.foreign.parts.vit import checked_geometry

if TYPE_CHECKING:
    from torch import Tensor

_PART_OF_METHOD = "backbone."


def own_weights(path: Path) -> Path:
    """The backbone in a folder that ``convert`` wrote, in a run or in its ``checkpoints``; anything else as it is."""
    for folder in (path, path / "checkpoints"):
        if (folder / BACKBONE_FILE).is_file():
            return folder / BACKBONE_FILE
    return path


def is_ours(path: Path) -> bool:
    """Whether ``path`` is a weights file of this suite, or holds one: it has its header beside it."""
    weights = own_weights(path)
    return weights.suffix == ".safetensors" and header_path(weights).is_file()


def read_own(path: Path) -> tuple[dict[str, Tensor], CheckpointHeader]:
    """The tensors and the header of a backbone or a whole method.

    Raises
    ------
    InputError
        Truncated or altered; weights that can be none; a backbone that does not exist here, or weights of another.
    """
    weights = own_weights(path)
    state, header = load_state(weights)
    refuse_unusable(weights, state)
    try:
        info = find_backbone(header.backbone).INFO
        for name in ("num_heads", "position_embedding"):
            told, known = getattr(header, name), getattr(info, name)
            if told != known:
                raise InputError(f"the header says {name} {told}, {header.backbone} has {known}")
        prefix = "" if header.role == "backbone" else _PART_OF_METHOD
        backbone = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
        if info.family == "vit":
            # Before a network is built at a size that only the header vouches for.
            size = checked_geometry(backbone, f"not {header.backbone}").image_size
            if size != header.image_size:
                raise InputError(f"the header says image_size {header.image_size}, the weights are of {size}")
        found = {name: tuple(tensor.shape) for name, tensor in backbone.items()}
        refuse_differences(found, backbone_shapes(header.backbone, header.image_size), f"not {header.backbone}")
    except InputError as error:
        raise InputError(f"{weights}: {error}") from error
    return state, header
