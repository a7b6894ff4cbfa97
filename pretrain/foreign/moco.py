"""MoCo v1's and v2's training checkpoints, as released: a ResNet-50.

Layout
    ``state_dict`` holds ``module.encoder_q.*`` and, in own runs, ``module.encoder_k.*``, ``module.queue`` and
    ``module.queue_ptr``. An encoder is torchvision's ResNet whose ``fc`` is the projector: one linear layer in v1
    (``fc.weight``), two in v2 (``fc.0``, ``fc.2``).
Source
    facebookresearch/moco ``moco/builder.py``, ``main_moco.py``.
Evaluated
    The query encoder, as ``main_lincls.py`` does. ``weights: ema`` reads the key encoder.
"""

from __future__ import annotations

from pretrain.foreign.interface import Facts, FormatInfo, Imported, State
from pretrain.foreign.parts.released import feature_dimension, linear, released, size_of, split_resnet

QUERY, KEY = "encoder_q.", "encoder_k."
INFO = FormatInfo(
    name="moco",
    title="MoCo v1 and v2 training checkpoint",
    source="facebookresearch/moco moco/builder.py",
    encoders=(QUERY, KEY),
    integers=("queue_ptr",),
    counts_finished_epochs=True,
    method="moco_v2",
)


def recognise(state: State, facts: Facts) -> bool:
    return f"{QUERY}conv1.weight" in state and any(name.startswith(f"{QUERY}fc.") for name in state)


def to_ours(state: State, facts: Facts) -> Imported:
    """Return the query encoder without projector, key encoder and queue.

    Raises
    ------
    InputError
        A key is missing, left over or of another shape.
    """
    backbone, rest = split_resnet(state, QUERY)
    is_v2 = any(f"{QUERY}fc.{layer}.weight" in state for layer in (0, 2))
    last = f"{QUERY}fc.2" if is_v2 else f"{QUERY}fc"
    dimension = size_of(state, f"{last}.weight", "moco")
    width = feature_dimension(backbone)
    projector = linear("fc", width, dimension)
    if is_v2:
        hidden = size_of(state, f"{QUERY}fc.0.weight", "moco")
        projector = linear("fc.0", width, hidden) | linear("fc.2", hidden, dimension)
    encoder = projector | {name: tuple(tensor.shape) for name, tensor in backbone.items()}
    expected = {f"{QUERY}{name}": shape for name, shape in projector.items()}
    if any(name.startswith(KEY) for name in state):
        expected |= {f"{KEY}{name}": shape for name, shape in encoder.items()}
    if "queue" in state:
        expected |= {"queue": (dimension, size_of(state, "queue", "moco", 1)), "queue_ptr": (1,)}
    return released("moco_v2" if is_v2 else "moco_v1", backbone, rest, expected)
