"""What the engine asks of a method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from pretrain.config import Strict

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pretrain.batch import Batch


class Method(Protocol):
    """A torch module that knows its loss. It has the attribute ``backbone``, whose weights are the result."""

    backbone: nn.Module

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The scalar to minimise, and detached scalars worth logging."""
        ...

    def on_step(self, progress: float) -> None:
        """Called before every step with the fraction of training done, in [0, 1]."""
        ...


class MethodModule(Protocol):
    """The shape of a module in ``pretrain.methods``.

    It may also have ``check(config: PretrainConfig) -> None``, which raises InputError for a run that the method can't
    do. Plans call it, so it imports no torch.
    """

    Config: type[Strict]

    def build(self, config: Any, *, backbone: nn.Module, feature_dimension: int, num_classes: int) -> nn.Module: ...
