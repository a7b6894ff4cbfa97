"""MoCo-v3's training checkpoints, as released: R50 and ViT.

Layout
    ``state_dict`` holds ``module.base_encoder.*``, ``module.momentum_encoder.*`` and ``module.predictor.*``. An encoder
    is torchvision's ResNet or timm's ViT whose classifier, ``fc`` or ``head``, is the projector. MLPs are numbered as
    ``nn.Sequential`` numbers linear layer, batch normalisation and ReLU.
Source
    facebookresearch/moco-v3 ``moco/builder.py``, ``vits.py``, ``main_moco.py``.
Heads
    12, in ViT-S and ViT-B. timm's ViT-S has 6: equal shapes, but other features.
Refused
    Checkpoints of ``main_lincls.py``, a classifier on frozen features, are refused: they are not pretraining
    checkpoints, although they hold the same backbone (vpt issue 53: a published row used one by mistake). A supervised
    network saved under DistributedDataParallel has equal keys; the optimiser's state tells the two apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pretrain.checkpoint import shapes_of
from pretrain.errors import InputError
from pretrain.foreign.interface import Facts, FormatInfo, Imported, MethodParts, State
from pretrain.foreign.parts import resnet, vit
from pretrain.foreign.parts.names import part, prefixed, unknown_keys_refused
from pretrain.foreign.parts.released import feature_dimension
from pretrain.wording import listed, refuse_differences

if TYPE_CHECKING:
    from torch import Tensor

ONLINE, TARGET, PREDICTOR = "module.base_encoder.", "module.momentum_encoder.", "module.predictor."
INFO = FormatInfo(
    name="moco_v3",
    title="MoCo-v3 training checkpoint",
    source="facebookresearch/moco-v3 moco/builder.py and vits.py",
    encoders=(ONLINE, TARGET),
    counts_finished_epochs=True,
)
NUM_HEADS = 12
_PROBE_TENSORS = 2
"""Number of tensors that a linear probe trains: the classifier's weight and bias. A supervised training trains all."""


@dataclass(frozen=True)
class MlpShape:
    """Sizes of a projector, predictor or class head: linear layers without bias, normalisation and ReLU between."""

    layers: int
    hidden_dimension: int
    output_dimension: int
    last_batch_norm: bool


def recognise(state: State, facts: Facts) -> bool:
    is_pretraining = any(name.startswith(ONLINE) for name in state) and not any(
        name.startswith("module.fully_projector.") for name in state
    )
    return is_pretraining or _is_linear_probe(state, facts)


def to_ours(state: State, facts: Facts) -> Imported:
    """Return the backbone; also the whole method if the file has the momentum encoder and the predictor.

    Raises
    ------
    InputError
        The file is a linear probe, or its keys or shapes are not exactly this layout's.
    """
    if _is_linear_probe(state, facts):
        raise InputError(
            "moco_v3: this is a linear probe (main_lincls.py), a classifier trained on frozen features; "
            "take the pretraining checkpoint it came from, whose keys begin with module.base_encoder, "
            "or, in MoCo v1, v2 and SimSiam, with module.encoder_q or module.encoder"
        )
    with unknown_keys_refused("moco_v3", state, (ONLINE, TARGET, PREDICTOR)):
        backbone, projector = split_encoder(part(state, ONLINE), "moco_v3: module.base_encoder")
        num_heads = None if resnet.looks_like_resnet(backbone) else NUM_HEADS
        if not part(state, TARGET) or not part(state, PREDICTOR):
            used = {f"{ONLINE}{name}" for name in backbone}
            return Imported(backbone, num_heads, left_out=tuple(name for name in state if name not in used))
        return Imported(backbone, num_heads, contrastive_parts(state, projector, "moco_v3"))


def contrastive_parts(state: State, projector: State, what: str) -> MethodParts:
    """Return projector, predictor and momentum encoder as parts of our method ``moco_v3``."""
    target_backbone, target_projector = split_encoder(part(state, TARGET), f"{what}: module.momentum_encoder")
    is_resnet = resnet.looks_like_resnet(target_backbone)
    predictor = part(state, PREDICTOR)
    projects = checked_mlp(projector, feature_dimension(target_backbone), f"{what}: projector")
    checked_mlp(target_projector, feature_dimension(target_backbone), f"{what}: momentum projector")
    predicts = checked_mlp(predictor, projects.output_dimension, f"{what}: predictor")
    options: dict[str, Any] = {
        "projector_layers": projects.layers,
        "predictor_layers": predicts.layers,
        "predictor_last_batch_norm": predicts.last_batch_norm,
        "mlp_dimension": projects.hidden_dimension,
        "embedding_dimension": projects.output_dimension,
        # The file has no temperature. The official settings are 1.0 for ResNets and 0.2 for ViTs.
        "temperature": 1.0 if is_resnet else 0.2,
    }
    ours = {
        **prefixed("heads.projection.", projector),
        **prefixed("heads.instance.", predictor),
        **prefixed("target_backbone.", target_backbone),
        **prefixed("target_heads.projection.", target_projector),
    }
    # MoCo-v3 has no classes; the 1 only fills the argument of ``build``.
    return MethodParts("moco_v3", options, 1, ours)


def split_encoder(encoder: State, what: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Split an encoder into backbone and projector.

    Raises
    ------
    InputError
        There is no projector, or a ViT's keys are missing, left over or misshapen.
    """
    classifier = "fc." if resnet.looks_like_resnet(encoder) else "head."
    backbone = {name: tensor for name, tensor in encoder.items() if not name.startswith(classifier)}
    projector = part(encoder, classifier)
    if classifier == "fc.":
        resnet.to_ours(backbone)
    else:
        vit.checked_geometry(backbone, what)
    if not projector:
        raise InputError(f"{what}: missing the projector {classifier}*")
    return backbone, projector


def checked_mlp(mlp: State, input_dimension: int, what: str) -> MlpShape:
    """Return the sizes of an MLP after checking that its keys and shapes are exactly an MLP's.

    Raises
    ------
    InputError
        A key is missing, left over or of another shape.
    """
    found = shapes_of(mlp)
    linear = sorted(
        int(number)
        for name, shape in found.items()
        if len(shape) == 2 and re.fullmatch(r"0|[1-9]\d*", number := name.removesuffix(".weight"))
    )
    if not linear:
        raise InputError(f"{what}: no linear layers among {listed(found)}")
    shape = MlpShape(
        layers=len(linear),
        hidden_dimension=found[f"{linear[0]}.weight"][0],
        output_dimension=found[f"{linear[-1]}.weight"][0],
        last_batch_norm=f"{3 * len(linear) - 2}.running_mean" in found,
    )
    refuse_differences(found, _mlp_shapes(shape, input_dimension), what)
    return shape


def _mlp_shapes(shape: MlpShape, input_dimension: int) -> dict[str, tuple[int, ...]]:
    """Return every key of the ``nn.Sequential`` with its shape; normalisations and ReLUs count as layers."""
    shapes: dict[str, tuple[int, ...]] = {}
    width = input_dimension
    for layer in range(shape.layers):
        last = layer == shape.layers - 1
        output = shape.output_dimension if last else shape.hidden_dimension
        shapes[f"{3 * layer}.weight"] = (output, width)
        if not last or shape.last_batch_norm:
            affine = {"weight": (output,), "bias": (output,)} if not last else {}
            statistics: dict[str, tuple[int, ...]] = {
                "running_mean": (output,),
                "running_var": (output,),
                "num_batches_tracked": (),
            }
            norm = {**affine, **statistics}
            shapes |= {f"{3 * layer + 1}.{name}": dimensions for name, dimensions in norm.items()}
        width = output
    return shapes


def _is_linear_probe(state: State, facts: Facts) -> bool:
    names = state.keys()
    has_classifier = not names.isdisjoint({"module.fc.weight", "module.head.weight"})
    has_backbone = not names.isdisjoint({"module.conv1.weight", "module.cls_token"})
    return has_classifier and has_backbone and facts.trained_tensors == _PROBE_TENSORS
