"""MSN's checkpoints, as released: ViT.

Layout
    ``target_encoder`` and, in own runs, ``encoder`` hold a ViT under timm's names below ``module.``. Its ``fc`` is the
    projector: three linear layers, two of them with batch normalisation (``fc1``, ``bn1``, ``fc2``, ``bn2``, ``fc3``).
    ``prototypes`` lies beside them and is not read.
Source
    facebookresearch/msn ``src/msn_train.py`` and ``src/deit.py``.
Evaluated
    The target encoder. ``weights: raw`` reads the other one, if the file has it.
"""

from __future__ import annotations

from pretrain.foreign.interface import Facts, FormatInfo, Imported, State
from pretrain.foreign.parts import vit
from pretrain.foreign.parts.names import rest_of
from pretrain.foreign.parts.released import batch_norm, feature_dimension, linear, released, size_of

HEAD = "fc."
INFO = FormatInfo(
    name="msn",
    title="MSN checkpoint",
    source="facebookresearch/msn src/msn_train.py and src/deit.py",
    evaluated="ema",
    counts_finished_epochs=True,
    method="msn",
)


def recognise(state: State, facts: Facts) -> bool:
    return vit.looks_like_vit(state) and f"{HEAD}fc1.weight" in state


def to_ours(state: State, facts: Facts) -> Imported:
    """Return the ViT without the projector.

    Raises
    ------
    InputError
        A key is missing, left over or of another shape.
    """
    backbone = {name: tensor for name, tensor in state.items() if not name.startswith(HEAD)}
    rest = rest_of(state, "", backbone)
    hidden, outputs = (size_of(state, f"{HEAD}{layer}.weight", "msn") for layer in ("fc1", "fc3"))
    expected = {
        **linear(f"{HEAD}fc1", feature_dimension(backbone), hidden),
        **linear(f"{HEAD}fc2", hidden, hidden),
        **linear(f"{HEAD}fc3", hidden, outputs),
    }
    if f"{HEAD}bn1.weight" in state:
        expected |= batch_norm(f"{HEAD}bn1", hidden) | batch_norm(f"{HEAD}bn2", hidden)
    return released("msn", backbone, rest, expected)
