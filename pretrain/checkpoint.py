"""Checkpoints: weights in safetensors with a JSON header beside them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError

from pretrain.backbones.lookup import find_backbone
from pretrain.config import Normalisation, Strict
from pretrain.errors import InputError
from pretrain.wording import refuse_differences

if TYPE_CHECKING:
    from torch import Tensor, nn

BACKBONE_FILE = "backbone.safetensors"
METHOD_FILE = "method.safetensors"
TRAINING_STATE_FILE = "training_state.pt"


class CheckpointHeader(Strict):
    """Description of a weights file. ``role`` is the backbone alone or the whole trained method with its heads.

    ``sha256`` is the checksum of the weights file, ``header_sha256`` that of the other fields of the header, because
    they affect results too. ``normalisation`` is the one used in training; ``epochs`` is None if an imported file does
    not state it.
    """

    schema_version: Literal[2] = 2
    role: Literal["backbone", "method"]
    backbone: str
    num_heads: int | None
    position_embedding: str | None
    image_size: int = Field(gt=0)
    normalisation: Normalisation
    method: str
    epochs: int | None
    run_id: str
    sha256: str
    header_sha256: str = ""

    def checksum(self) -> str:
        """Return the SHA-256 of every field except ``header_sha256``."""
        content = self.model_dump(mode="json", exclude={"header_sha256"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def sealed(self) -> CheckpointHeader:
        """Return a copy with ``header_sha256`` set."""
        return self.model_copy(update={"header_sha256": self.checksum()})


def header_path(weights: Path) -> Path:
    return weights.with_suffix(".json")


def save_checkpoint(weights: Path, state: dict[str, Tensor], header: dict[str, Any]) -> CheckpointHeader:
    """Write weights and header atomically, the header last: weights without a header are incomplete."""
    from safetensors.torch import save

    weights.parent.mkdir(parents=True, exist_ok=True)
    temporary = weights.with_name(f".{weights.name}.tmp")
    temporary_header = header_path(weights).with_name(f".{header_path(weights).name}.tmp")
    try:
        # safetensors' own way to a file leaves another temporary one if it is killed, whose name nobody knows.
        temporary.write_bytes(save({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}))
        checked = CheckpointHeader.model_validate({**header, "sha256": file_sha256(temporary)}).sealed()
        temporary_header.write_text(json.dumps(checked.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8")
        _replace_durably(temporary, weights)
        _replace_durably(temporary_header, header_path(weights))
    except BaseException:
        temporary.unlink(missing_ok=True)
        temporary_header.unlink(missing_ok=True)
        raise
    return checked


def read_header(weights: Path) -> CheckpointHeader:
    """Return the header beside ``weights``.

    Raises
    ------
    InputError
        The checkpoint is missing, or its header can't be read or was altered.
    """
    path = header_path(weights)
    if not weights.is_file():
        raise InputError(f"{weights}: no such checkpoint")
    try:
        return parse_header(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{weights}: no header {path.name} beside it; is it a checkpoint?") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a checkpoint header ({error})") from error


def parse_header(text: str) -> CheckpointHeader:
    """Return the header in ``text``.

    Raises
    ------
    ValueError
        The text is not a header, or the checksum does not match the content.
    """
    try:
        header = CheckpointHeader.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ValueError(f"{where}: {first['msg']}") from error
    if header.header_sha256 != header.checksum():
        raise ValueError("altered, its content is not that of its checksum header_sha256")
    return header


def load_state(weights: Path) -> tuple[dict[str, Tensor], CheckpointHeader]:
    """Return the tensors and the header, after verifying the checksum.

    Raises
    ------
    InputError
        The file is missing, truncated or altered.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    header = read_header(weights)
    found = file_sha256(weights)
    if found != header.sha256:
        raise InputError(f"{weights}: truncated or altered, its SHA-256 is {found} and its header says {header.sha256}")
    try:
        return load_file(weights), header
    except SafetensorError as error:
        raise InputError(f"{weights}: no safetensors file ({error})") from error


def load_backbone(weights: Path) -> tuple[nn.Module, CheckpointHeader]:
    """Return the trained backbone in evaluation mode, and its header.

    Raises
    ------
    InputError
        The file can't be trusted (see ``load_state``), has another role, or is of another backbone.
    """
    state, header = load_state(weights)
    if header.role != "backbone":
        raise InputError(f"{weights}: holds a {header.role}; evaluators take the {BACKBONE_FILE} beside it")
    module = find_backbone(header.backbone)
    if module.INFO.num_heads != header.num_heads:
        raise InputError(
            f"{weights}: trained with {header.num_heads} attention heads, {header.backbone} has {module.INFO.num_heads}"
        )
    model = module.build(header.image_size)
    load_exactly(model, state, what=str(weights))
    return model.eval(), header


def load_exactly(model: nn.Module, state: dict[str, Tensor], *, what: str) -> None:
    """Load if every key is present, none is left over and all shapes match; else raise and list the differences."""
    refuse_differences(shapes_of(state), shapes_of(model.state_dict()), f"{what}: weights of another model")
    model.load_state_dict(state)


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _replace_durably(temporary: Path, final: Path) -> None:
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(final)
