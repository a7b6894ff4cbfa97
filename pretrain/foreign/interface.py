"""The interface of a foreign format. Imports no torch."""

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
        Where the layout is defined: files of the other project.
    written_as
        What ``from_ours`` can fill: file endings, or the word ``folder``; empty for a format that is only read.
    shared_names
        Whether many projects use these names. If another format recognises a file too, it is read in that one.
    encoders
        Prefixes of an online and a target network in one state dict. The target is read under the online one's names.
    evaluated
        Which of two sets of weights the paper evaluates; None if the names of the sets show it.
    integers
        Last parts of the names of tensors that hold integers, such as ``queue_ptr``.
    counts_finished_epochs
        Whether ``epoch`` in a file is the number of finished epochs, and not the index of the last one.
    method
        The method that trains what this format holds, for its evaluation protocol; None if several do.
    """

    name: str
    title: str
    source: str
    written_as: tuple[str, ...] | Literal["folder"] = ()
    shared_names: bool = False
    encoders: tuple[str, str] | None = None
    evaluated: Literal["raw", "ema"] | None = None
    integers: tuple[str, ...] = ()
    counts_finished_epochs: bool = False
    method: str | None = None


@dataclass(frozen=True)
class Facts:
    """Facts that a file states about its weights; None if it does not.

    ``architecture`` is the model's name in the ``config.json`` of a Hugging Face folder. ``sizes`` are sizes stated
    there, by timm's names; the shapes show them too. ``trained_tensors`` is the number of tensors that the file's
    optimiser trained.
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
    """All parts of a pretraining method found in a file.

    Parameters
    ----------
    options
        Fields of the method's ``Config`` that follow from the shapes.
    state
        All tensors but the online backbone, under the names of ``HierarchicalMethod``.
    """

    name: str
    options: dict[str, Any]
    num_classes: int
    state: dict[str, Tensor]


@dataclass(frozen=True)
class Imported:
    """A foreign state dict under our names.

    Parameters
    ----------
    backbone
        Only the backbone, under timm's names, which all backbones here use.
    num_heads
        Attention heads as the format or the file defines them; None for a ResNet.
    left_out
        Keys of the file that are not used, such as a classifier's.
    trained_with
        The pretraining method, if the layout is that of one method; None otherwise.
    notes
        Sentences for the user: what the file does not show.
    """

    backbone: dict[str, Tensor]
    num_heads: int | None
    method: MethodParts | None = None
    left_out: tuple[str, ...] = ()
    trained_with: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Exported:
    """Our backbone in a foreign layout.

    Parameters
    ----------
    usage
        Code that loads it; ``PATH`` stands for the file or folder, ``TENSORS`` for the function that reads tensors.
    config
        Content of the folder's ``config.json``.
    """

    state: dict[str, Tensor]
    usage: str
    config: dict[str, Any] = field(default_factory=dict)


class ForeignFormat(Protocol):
    """The attributes of a module in ``pretrain.foreign``.

    ``from_ours`` exists if ``INFO.written_as`` is not empty. A module may also have ``can_hold``, with the arguments of
    ``recognise``: whether a state dict may be of this layout although another format recognises it. Such a file is read
    in this format only if the user names the format.
    """

    INFO: FormatInfo

    def recognise(self, state: State, facts: Facts) -> bool:
        """Return whether the state dict's names are those of this layout."""
        ...

    def to_ours(self, state: State, facts: Facts) -> Imported:
        """Return the state dict under our names; raise an InputError that lists missing, extra and misshapen keys."""
        ...

    def from_ours(self, state: State, header: CheckpointHeader) -> Exported:
        """Return the backbone in this layout; raise an InputError if the layout can't hold it."""
        ...
