"""Reads the ``config.json`` of a Hugging Face folder and checks that it describes one of our networks.

Other networks can have weights with our names and shapes: blurred pooling and other activations have no weights. So
every setting that is not known to be harmless is refused; timm's defaults are known by architecture.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pretrain.checkpoint import BACKBONE_FILE
from pretrain.config import Normalisation
from pretrain.errors import InputError
from pretrain.foreign.interface import Facts
from pretrain.wording import listed

WEIGHTS, CONFIG = "model.safetensors", "config.json"
"""The two files of a Hugging Face folder that timm reads."""
_INDEX, _PICKLED = f"{WEIGHTS}.index.json", "pytorch_model.bin"
TRANSFORMERS_ADVICE = (
    "take the same weights in timm's layout (timm/vit_base_patch16_224.augreg_in21k instead of "
    "google/vit-base-patch16-224-in21k, for instance), or rename their keys to timm's and save them as a state dict"
)
RESNETS = ("resnet50",)
VITS = (
    "vit_tiny_patch16_224",
    "vit_tiny_patch16_384",
    "vit_small_patch16_224",
    "vit_small_patch16_384",
    "vit_base_patch16_224",
    "vit_base_patch16_384",
    "vit_large_patch16_224",
    "vit_large_patch16_384",
    "deit_tiny_patch16_224",
    "deit_small_patch16_224",
    "deit_base_patch16_224",
    "deit_base_patch16_384",
)
"""timm's models with a class token, GELU, epsilon 1e-6 and 64 channels per head; shapes and heads tell them apart."""
_HARMLESS = {"num_classes", "drop_rate", "drop_path_rate", "proj_drop_rate", "attn_drop_rate", "pos_drop_rate"}
"""Settings without effect on features: the classifier is left out, and dropout acts only in training."""
_DERIVED_FROM_SHAPES = {"img_size", "patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio"}


def folder_weights(folder: Path) -> Path:
    """Return the path of the weights in a Hugging Face folder.

    Raises
    ------
    InputError
        There are no weights, or in another form; the message says how to get a readable form.
    """
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    if any((folder / name).is_file() for name in (_INDEX, f"{_PICKLED}.index.json")):
        raise InputError(
            f"{folder}: its weights are cut into shards, and one {WEIGHTS} is read; write it with "
            f'timm: model = timm.create_model("local-dir:{folder}", pretrained=True), then '
            'timm.models.save_for_hf(model, "NEW_FOLDER"), or merge the shards into one state dict and save that'
        )
    if (folder / _PICKLED).is_file():
        raise InputError(
            f"{folder}: its weights are in {_PICKLED}, and {WEIGHTS} is read; convert them with: opera-bench "
            f"checkpoint convert {folder / _PICKLED} --to opera_bench --out NEW_FOLDER (which does not look at "
            f"{CONFIG}), or load the model with timm and save it with timm.models.save_for_hf"
        )
    raise InputError(f"{folder}: holds neither {BACKBONE_FILE} nor {WEIGHTS}")


def folder_facts(path: Path, of_weights: Facts) -> Facts:
    """Return the configuration's facts combined with those of the weights' file.

    Raises
    ------
    InputError
        The configuration is not timm's, is of a network that no backbone here is, or contradicts the number of heads in
        the weights' file.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if "architecture" not in config and ("model_type" in config or "architectures" in config):
            raise InputError(
                f"{path}: a model of transformers ({config.get('model_type') or config.get('architectures')}), whose "
                f"layout is not read here; {TRANSFORMERS_ADVICE}"
            )
        architecture = config["architecture"]
        arguments = dict(config.get("model_args") or {})
        shown = config.get("pretrained_cfg", config)
        normalisation = None
        if "mean" in shown and "std" in shown:
            normalisation = Normalisation(mean=shown["mean"], std=shown["std"])
        image_size = _square(arguments.get("img_size") or shown.get("input_size"))
    except ValidationError as error:
        raise InputError(f"{path}: mean and std of three channels each are needed") from error
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not the config.json of a timm model ({type(error).__name__}: {error})") from error
    try:
        _refuse_other_networks(architecture, arguments, config.get("global_pool"))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    heads = arguments.get("num_heads")
    if None not in (heads, of_weights.num_heads) and heads != of_weights.num_heads:
        raise InputError(f"{path}: num_heads is {heads}, and the weights beside it say {of_weights.num_heads}")
    return replace(
        of_weights,
        num_heads=of_weights.num_heads if heads is None else heads,
        image_size=image_size or of_weights.image_size,
        normalisation=normalisation or of_weights.normalisation,
        architecture=architecture,
        sizes={name: value for name, value in arguments.items() if name in _DERIVED_FROM_SHAPES - {"num_heads"}},
    )


def _refuse_other_networks(architecture: object, arguments: Mapping[str, Any], global_pool: object) -> None:
    if architecture not in (*RESNETS, *VITS):
        raise InputError(f"architecture {architecture!r} is not supported; allowed: {', '.join(RESNETS + VITS)}")
    is_vit = architecture in VITS
    harmless = _HARMLESS | (_DERIVED_FROM_SHAPES if is_vit else set())
    as_here: dict[str, object] = {"in_chans": 3, "global_pool": "token" if is_vit else "avg"}
    if is_vit:
        as_here |= {"qkv_bias": True, "class_token": True}
    other = [
        f"{name}={value!r}"
        for name, value in arguments.items()
        if name not in harmless and not (name in as_here and as_here[name] == value)
    ]
    if global_pool is not None and global_pool != as_here["global_pool"]:
        other.append(f"global_pool={global_pool!r} beside architecture")
    if other:
        raise InputError(f"{architecture} with {listed(other)} is another network than the backbones here")


def _square(size: Any) -> int | None:
    """Return the side in pixels of a size given as a number, (rows, columns) or (channels, rows, columns)."""
    if size is None or type(size) is int:
        return size
    rows, columns = size[-2:]
    if type(rows) is not int or rows != columns:
        raise ValueError(f"images of {size} are not square")
    return rows
