"""The folder that timm reads from the Hugging Face hub: ``model.safetensors`` and ``config.json``.

Layout
    The weights have timm's names. The configuration names timm's architecture; ``model_args`` has the differences
    from it, such as the number of attention heads; ``pretrained_cfg`` has image size and normalisation.
Source
    timm ``models/_hub.py``.
"""

from __future__ import annotations

from pretrain.checkpoint import CheckpointHeader
from pretrain.errors import InputError
from pretrain.foreign import timm
from pretrain.foreign.interface import Exported, Facts, FormatInfo, Imported, State
from pretrain.foreign.parts import resnet, vit

INFO = FormatInfo(
    name="huggingface", title="Hugging Face folder of timm", source="timm models/_hub.py", written_as="folder"
)
_USAGE = 'timm.create_model("local-dir:PATH", pretrained=True)'


def recognise(state: State, facts: Facts) -> bool:
    return facts.architecture is not None and timm.recognise(state, facts)


def to_ours(state: State, facts: Facts) -> Imported:
    return timm.to_ours(state, facts)


def from_ours(state: State, header: CheckpointHeader) -> Exported:
    """Return a backbone as a folder that timm loads.

    Raises
    ------
    InputError
        timm has no architecture for this ResNet.
    """
    if resnet.looks_like_resnet(state):
        if header.backbone != "resnet50":
            raise InputError(f"huggingface: timm has no architecture for {header.backbone}; convert it to timm")
        name, width, arguments = "resnet50", 2048, {}
    else:
        geometry = vit.checked_geometry(state, "our ViT")
        name, width = timm.architecture(geometry), geometry.width
        arguments = timm.model_arguments(geometry, header)
    config = {
        "architecture": name,
        "num_classes": 0,
        "num_features": width,
        "global_pool": "avg" if not arguments else "token",
        "model_args": arguments,
        "pretrained_cfg": {
            "input_size": [3, header.image_size, header.image_size],
            "interpolation": "bicubic" if arguments else "bilinear",
            "mean": list(header.normalisation.mean),
            "std": list(header.normalisation.std),
            "num_classes": 0,
            "first_conv": "patch_embed.proj" if arguments else "conv1",
            "classifier": "head" if arguments else "fc",
        },
    }
    return Exported(dict(state), _USAGE, config)
