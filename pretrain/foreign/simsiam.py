"""SimSiam's training checkpoints, as released: a ResNet-50.

Layout
    ``state_dict`` holds ``module.encoder.*``, torchvision's ResNet whose ``fc`` is the projector of three linear
    layers, and ``module.predictor.*``, two linear layers. The projector's last linear layer has a bias that does not
    train.
Source
    facebookresearch/simsiam ``simsiam/builder.py``, ``main_simsiam.py``.
"""

from __future__ import annotations

from pretrain.foreign.interface import Facts, FormatInfo, Imported, State
from pretrain.foreign.parts.released import batch_norm, feature_dimension, linear, released, size_of, split_resnet

ENCODER, PREDICTOR = "encoder.", "predictor."
INFO = FormatInfo(
    name="simsiam",
    title="SimSiam training checkpoint",
    source="facebookresearch/simsiam simsiam/builder.py",
    counts_finished_epochs=True,
    method="simsiam",
)


def recognise(state: State, facts: Facts) -> bool:
    return {f"{ENCODER}conv1.weight", f"{ENCODER}fc.6.weight"} <= state.keys()


def to_ours(state: State, facts: Facts) -> Imported:
    """Return the encoder without projector and predictor.

    Raises
    ------
    InputError
        A key is missing, left over or of another shape.
    """
    backbone, rest = split_resnet(state, ENCODER)
    width, dimension = feature_dimension(backbone), size_of(state, f"{ENCODER}fc.6.weight", "simsiam")
    hidden = size_of(state, f"{PREDICTOR}0.weight", "simsiam")
    projector = {
        **linear("fc.0", width, width, bias=False),
        **batch_norm("fc.1", width),
        **linear("fc.3", width, width, bias=False),
        **batch_norm("fc.4", width),
        **linear("fc.6", width, dimension),
        **batch_norm("fc.7", dimension, affine=False),
    }
    predictor = {
        **linear("0", dimension, hidden, bias=False),
        **batch_norm("1", hidden),
        **linear("3", hidden, dimension),
    }
    expected = {f"{ENCODER}{name}": shape for name, shape in projector.items()}
    expected |= {f"{PREDICTOR}{name}": shape for name, shape in predictor.items()}
    return released("simsiam", backbone, rest, expected)
