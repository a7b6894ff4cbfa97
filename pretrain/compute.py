"""How a run is computed and what it keeps on the way: nothing here is part of its identity. Imports no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from pretrain.errors import InputError


@dataclass(frozen=True)
class ComputeOptions:
    """Where-it-runs options of a pretraining; plain values, so that a job can carry them as JSON.

    Parameters
    ----------
    micro_batch_size
        Images a process pushes through its backbone at once; the step stays that of the whole batch. ``auto`` finds
        what fits into memory; None, or as many as the process has, is the plain step.
    gradient_checkpointing
        Keep only the inputs of a ViT's blocks and compute the rest again in the backward pass: the same numbers,
        about a third more time, a fraction of the memory.
    compile
        Hand the backbone to ``torch.compile``. Fused kernels round differently, so the last bits change.
    deterministic
        Ask torch for deterministic kernels, and for an error where there is none. The CPU needs no asking.
    keep_last, keep_every_epochs
        Backbones kept beside the final one, as ``checkpoints/backbone-epoch0050.safetensors``: those of the last so
        many epochs, and those of every so many epochs. 0 keeps none.
    monitor_every_epochs
        How often the curves get ``knn_top1`` and ``recall_at_1`` of the backbone; 0 is never. Costs a forward pass over
        both splits each time, and changes nothing else.

    Raises
    ------
    InputError
        A number out of range.
    """

    micro_batch_size: int | Literal["auto"] | None = None
    gradient_checkpointing: bool = False
    compile: bool = False
    deterministic: bool = False
    keep_last: int = 0
    keep_every_epochs: int = 0
    monitor_every_epochs: int = 0

    def __post_init__(self) -> None:
        size = self.micro_batch_size
        if size is not None and size != "auto" and (type(size) is not int or size < 1):
            raise InputError(f"micro_batch_size: must be auto or a number of images from 1 up, not {size!r}")
        for name in ("keep_last", "keep_every_epochs", "monitor_every_epochs"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}: must be 0 (none) or more, not {getattr(self, name)}")

    def chosen(self) -> dict[str, Any]:
        """What differs from the plain way, as plain values."""
        return {name: value for name, value in asdict(self).items() if value != getattr(PLAIN, name)}


PLAIN = ComputeOptions()
