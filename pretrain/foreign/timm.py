"""timm's names, which our backbones use too: ViTs with a class token, and ResNets.

Layout
    ViT: ``cls_token``, ``pos_embed``, ``patch_embed.proj``, ``blocks.N.{norm1,attn.qkv,attn.proj,norm2,mlp.fc1,
    mlp.fc2}``, ``norm``, and a linear ``head``. ResNet: torchvision's, with a linear ``fc``. A file is the state
    dict itself or, like DeiT's releases, has it under ``model`` or ``state_dict``.
Source
    timm ``models/vision_transformer.py`` and ``models/resnet.py``; DeiT's released files.
Heads
    One per 64 channels (6 for width 384, 12 for 768), unless the file states another number. Files that this suite
    writes do: MoCo-v3's ViT-S has 12. For a width that timm has no ViT of, the number comes from the one backbone
    here that has all of the shapes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pretrain.checkpoint import CheckpointHeader
from pretrain.errors import InputError
from pretrain.foreign.interface import Exported, Facts, FormatInfo, Imported, State
from pretrain.foreign.parts import resnet, vit
from pretrain.foreign.parts.identify import usual_heads

if TYPE_CHECKING:
    from torch import Tensor

INFO = FormatInfo(
    name="timm",
    title="timm and DeiT",
    source="timm models/vision_transformer.py and models/resnet.py",
    written_as=(".safetensors", ".pth"),
    shared_names=True,
)
_CLASSIFIER = ("head.weight", "head.bias")


def recognise(state: State, facts: Facts) -> bool:
    return vit.looks_like_vit(state) or resnet.looks_like_resnet(state)


def to_ours(state: State, facts: Facts) -> Imported:
    """Return the backbone without a linear classifier.

    Raises
    ------
    InputError
        Keys or shapes are not exactly a ViT's or a ResNet's, they contradict the stated sizes, or a ViT's number of
        heads is unknown.
    """
    if resnet.looks_like_resnet(state):
        return resnet.to_ours(state)
    backbone = {name: tensor for name, tensor in state.items() if name not in _CLASSIFIER}
    left_out = tuple(name for name in _CLASSIFIER if name in state)
    geometry = vit.checked_geometry(backbone, "timm ViT")
    _refuse_other_sizes(facts, geometry)
    return Imported(backbone, _num_heads(backbone, facts, geometry, bool(left_out)), left_out=left_out)


def from_ours(state: State, header: CheckpointHeader) -> Exported:
    """Return the state unchanged: our names are timm's. The header states a ViT's heads; timm must be told them."""
    if resnet.looks_like_resnet(state):
        known = 'timm.create_model("resnet50", num_classes=0, checkpoint_path="PATH")'
        other = 'model.load_state_dict(timm.models.load_state_dict("PATH"))'
        return Exported(dict(state), known if header.backbone == "resnet50" else other)
    geometry = vit.checked_geometry(state, "our ViT")
    arguments = ", ".join(f"{key}={value}" for key, value in model_arguments(geometry, header).items())
    usage = f'timm.create_model("{architecture(geometry)}", num_classes=0, {arguments}, checkpoint_path="PATH")'
    return Exported(dict(state), usage)


def architecture(geometry: vit.VitGeometry) -> str:
    """Return the name of timm's nearest model; ``model_arguments`` has the differences."""
    size = {192: "tiny", 768: "base", 1024: "large"}.get(geometry.width, "small")
    return f"vit_{size}_patch16_224"


def model_arguments(geometry: vit.VitGeometry, header: CheckpointHeader) -> dict[str, int | float | None]:
    """Return the arguments that make timm's ``VisionTransformer`` this ViT."""
    return {**sizes(geometry), "num_heads": header.num_heads}


def sizes(geometry: vit.VitGeometry) -> dict[str, int | float]:
    """Return the arguments that follow from the shapes of the weights."""
    return {
        "img_size": geometry.image_size,
        "patch_size": geometry.patch_size,
        "embed_dim": geometry.width,
        "depth": geometry.depth,
        "mlp_ratio": geometry.mlp_width / geometry.width,
    }


def _refuse_other_sizes(facts: Facts, geometry: vit.VitGeometry) -> None:
    for name, actual in sizes(geometry).items():
        stated = facts.sizes.get(name)
        if name == "mlp_ratio" and isinstance(stated, int | float):
            agrees = int(geometry.width * stated) == geometry.mlp_width  # as timm rounds it
        else:
            agrees = stated in (None, actual, [actual, actual])
        if not agrees:
            raise InputError(f"config.json: {name} is {stated}, but the weights have {name} {actual:g}")


def _num_heads(backbone: dict[str, Tensor], facts: Facts, geometry: vit.VitGeometry, has_classifier: bool) -> int:
    """Return the number of heads that the file states, or timm's rule if nothing contradicts it."""
    if facts.num_heads is not None:
        return facts.num_heads
    timm_heads = max(geometry.width // vit.CHANNELS_PER_HEAD, 1)
    if vit.resembles_sincos(backbone):
        if has_classifier:
            raise InputError(
                "timm ViT: a classifier on MoCo-v3's sin-cos position embedding, so this was finetuned or probed from "
                "a MoCo-v3 or OPERA checkpoint; convert the pretrained file it came from"
            )
        if timm_heads != 12:
            raise InputError(
                "timm ViT: MoCo-v3's sin-cos position embedding, so its heads may be MoCo-v3's 12 or timm's "
                f"{timm_heads}, and the file does not state which; convert the original checkpoint "
                "with --from moco_v3 or --from opera"
            )
    return usual_heads(backbone, geometry)
