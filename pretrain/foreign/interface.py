"""What every foreign format looks like to the rest of the suite. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pretrain.checkpoint import CheckpointHeader
from pretrain.config import Normalisation

if TYPE_CHECKING:
    from torch import Tensor

State = Mapping[str, "Tensor"]
"""A state dict: name to tensor."""


@dataclass(frozen=True)
class FormatInfo:
    """Facts about a format.

    Parameters
    ----------
    source
        Where the layout is defined.
    written_as
        What ``from_ours`` fills: file name endings, or the word ``folder``; empty for a format that is only read.
    """

    name: str
    title: str
    source: str
    written_as: tuple[str, ...] | Literal["folder"] = ()


@dataclass(frozen=True)
class Facts:
    """What a file says of its weights beyond their shapes; None where it says nothing.

    ``architecture`` is the model's name in the ``config.json`` of a Hugging Face folder, ``sizes`` what that says by
    timm's names of what the shapes tell as well, ``trained_tensors`` how many tensors the file's optimiser trained.
    """

    num_heads: int | None = None
    image_size: int | None = None
    normalisation: Normalisation | None = None
    method: str | None = None
    epochs: int | None = None
    architecture: str | None = None
    sizes: Mapping[str, Any] = field(default_factory=dict)
    trained_tensors: int | None = None


@dataclass(frozen=True)
class MethodParts:
    """All parts of a pretraining method.

    Parameters
    ----------
    options
        Fields of the method's ``Config`` that the shapes tell.
    state
        Everything but the online backbone, under the names of ``HierarchicalMethod``.
    """

    name: str
    options: dict[str, Any]
    num_classes: int
    state: dict[str, Tensor]


@dataclass(frozen=True)
class Imported:
    """A foreign state dict in our names.

    Parameters
    ----------
    backbone
        The backbone alone, under timm's names, as every backbone here has them.
    num_heads
        Attention heads as the format or the file defines them; None for a ResNet.
    left_out
        Keys of the file that belong to no part of ours, such as a classifier.
    """

    backbone: dict[str, Tensor]
    num_heads: int | None
    method: MethodParts | None = None
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Exported:
    """Our backbone in a foreign layout.

    Parameters
    ----------
    usage
        How the other side loads it; ``PATH`` stands for the file or folder, ``TENSORS`` for what reads its tensors.
    config
        The ``config.json`` of a folder.
    """

    state: dict[str, Tensor]
    usage: str
    config: dict[str, Any] = field(default_factory=dict)


class ForeignFormat(Protocol):
    """The shape of a module in ``pretrain.foreign``. ``from_ours`` is there when ``INFO.written_as`` is not empty."""

    INFO: FormatInfo

    def recognise(self, state: State, facts: Facts) -> bool:
        """Whether the state dict has this layout, judged by its names."""
        ...

    def to_ours(self, state: State, facts: Facts) -> Imported:
        """The state dict in our names, or an InputError that says what is missing, left over or misshapen."""
        ...

    def from_ours(self, state: State, header: CheckpointHeader) -> Exported:
        """The backbone in this layout, or an InputError when the layout can't hold it."""
        ...
