"""Options of how a pretraining is computed, none of which is part of its run's id. Imports no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from pretrain.errors import InputError


@dataclass(frozen=True)
class ComputeOptions:
    """Options of how a pretraining is computed; plain values, so that a job can carry them as JSON.

    Parameters
    ----------
    micro_batch_size
        Images in the backbone at a time, per process; a step is still that of the whole batch. ``auto`` finds what fits
        into memory; None is the plain step.
    gradient_checkpointing
        Keep only the inputs of a ViT's blocks and recompute the rest in the backward pass. The numbers stay equal; a
        step takes about a third more time and a fraction of the memory.
    compile
        Pass the backbone to ``torch.compile``. Fused kernels round differently, so the last bits change.
    deterministic
        Use torch's deterministic kernels, and fail where there is none. CPUs are deterministic without it.
    keep_last, keep_every_epochs
        Which backbones to keep beside the final one, e.g. ``checkpoints/backbone-epoch0050.safetensors``: those of the
        last ``keep_last`` epochs, and those of every ``keep_every_epochs``-th epoch. 0 keeps none.
    monitor_every_epochs
        Add ``knn_top1`` and ``recall_at_1`` of the backbone to the curves after every so many epochs; 0 is never. Each
        time costs a forward pass over both splits.

    Raises
    ------
    InputError
        A number is out of range.
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
        """Return the options that differ from their defaults, as plain values."""
        return {name: value for name, value in asdict(self).items() if value != getattr(PLAIN, name)}


PLAIN = ComputeOptions()
