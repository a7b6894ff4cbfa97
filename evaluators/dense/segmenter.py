"""Builds MMSegmentation's configuration for one evaluation and runs it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from evaluators.dense.backbone import measure_features
from evaluators.dense.common import (
    KEPT_CHECKPOINTS,
    REPORTS,
    base_config,
    batch_per_process,
    loaders,
    optim_wrapper,
    preprocessor,
    runtime,
    warm_up,
)
from evaluators.dense.config import Machine, SegmentationConfig
from evaluators.dense.library import config_file
from evaluators.interface import Context
from pretrain.checkpoint import CheckpointHeader
from pretrain.datasets import DatasetInfo, find_dataset

BASES = {
    "fcn": "fcn/fcn_r50-d8_4xb4-160k_ade20k-512x512.py",
    "upernet": "vit/vit_deit-s16_upernet_8xb2-160k_ade20k-512x512.py",
}
FCN_STRIDE = 8
CHECKPOINTS_PER_RUN = 20


def library_config(config: SegmentationConfig, header: CheckpointHeader, machine: Machine) -> dict[str, Any]:
    """Return MMSegmentation's configuration for the head with these changes:

    - backbone: the pretrained module (``evaluators.dense.backbone``) with its normalisation, instead of ResNetV1c or a
      ViT with 6 heads; the heads' channels to match;
    - batch normalisation layers, which are synchronised if there are several processes;
    - schedule, optimiser, crop and batch from ``config``: the shipped DeiT file named 160k inherits 80k;
    - no validation during training; one test after the last iteration, with IoU per class;
    - a mask with labels outside the classes is refused, and the message names its file.
    """
    base = base_config(config_file("mmseg", BASES[config.head]))
    info = find_dataset(config.dataset).INFO
    return {
        "model": _model(base["model"], config, header, info, machine),
        **_data(base, config, info, machine),
        **_schedule(base, config),
        **runtime(base, seed=config.seed, machine=machine),
    }


def _model(
    base: dict[str, Any], config: SegmentationConfig, header: CheckpointHeader, info: DatasetInfo, machine: Machine
) -> dict[str, Any]:
    crop = (config.crop_size, config.crop_size)
    output_stride = FCN_STRIDE if config.head == "fcn" else None
    features = measure_features(header.backbone, image_size=config.crop_size, output_stride=output_stride)
    config.require_maps(header.backbone, len(features))
    channels = [features[index][0] for index in config.out_indices]
    norm = {"type": "BN", "requires_grad": True}
    auxiliary_index = base["auxiliary_head"]["in_index"]
    decode = {
        "in_channels": channels if config.head == "upernet" else channels[base["decode_head"]["in_index"]],
        "channels": config.head_channels,
        "num_classes": info.num_classes,
        "norm_cfg": norm,
    }
    auxiliary = {
        "in_channels": channels[auxiliary_index],
        "channels": config.auxiliary_channels,
        "num_classes": info.num_classes,
        "norm_cfg": norm,
    }
    stride = config.slide_stride or config.crop_size * 2 // 3
    slide = {"mode": "slide", "crop_size": crop, "stride": (stride, stride)}
    return {
        **base,
        "data_preprocessor": preprocessor(base["data_preprocessor"], header.normalisation, size=crop),
        "pretrained": None,
        "backbone": {
            "type": "mmengine.OperaBackbone",
            "name": header.backbone,
            "checkpoint": machine.checkpoint,
            "image_size": config.crop_size,
            "out_indices": config.out_indices,
            "output_stride": output_stride,
            "drop_path_rate": config.drop_path_rate,
        },
        "neck": None,
        "decode_head": {**base["decode_head"], **decode},
        "auxiliary_head": {**base["auxiliary_head"], **auxiliary},
        "test_cfg": slide if config.test_mode == "slide" else {"mode": "whole"},
    }


def _data(base: dict[str, Any], config: SegmentationConfig, info: DatasetInfo, machine: Machine) -> dict[str, Any]:
    overrides: dict[str, dict[str, Any]] = {
        "RandomResize": {"scale": config.resize_scale, "ratio_range": config.resize_ratio},
        "Resize": {"scale": config.resize_scale},
        "RandomCrop": {"crop_size": (config.crop_size, config.crop_size)},
        "RandomFlip": {"prob": config.flip_probability},
    }
    check = {"type": "mmengine.RequireKnownLabels", "num_classes": info.num_classes}

    def pipeline(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
        changed = [{**step, **overrides.get(step["type"], {})} for step in steps]
        after = 1 + next(i for i, step in enumerate(changed) if step["type"] == "LoadAnnotations")
        return [*changed[:after], check, *changed[after:]]

    def loader(shipped: dict[str, Any], batch_size: int) -> dict[str, Any]:
        dataset = {
            **shipped["dataset"],
            **dataset_type(info),
            "data_root": machine.data_root,
            "pipeline": pipeline(shipped["dataset"]["pipeline"]),
        }
        return {**shipped, "batch_size": batch_size, **loaders(machine), "dataset": dataset}

    return {
        "train_dataloader": loader(
            base["train_dataloader"], batch_per_process(config.global_batch_size, machine.world_size)
        ),
        "test_dataloader": loader(base["test_dataloader"], 1),
        "test_evaluator": {**base["test_evaluator"], "type": "mmengine.ClassIoU"},
    }


def dataset_type(info: DatasetInfo) -> dict[str, Any]:
    """Return the library's data set class for ADE20K's layout, with the dataset's own class names if it has any."""
    if not info.classes:
        return {"type": "ADE20KDataset"}
    return {
        "type": "BaseSegDataset",
        "metainfo": {"classes": info.classes},
        "img_suffix": ".jpg",
        "seg_map_suffix": ".png",
        "reduce_zero_label": True,
    }


def _schedule(base: dict[str, Any], config: SegmentationConfig) -> dict[str, Any]:
    warmup = config.optimizer.warmup_iterations
    poly = {
        "type": "PolyLR",
        "eta_min": config.final_learning_rate,
        "power": config.poly_power,
        "begin": warmup,
        "end": config.iterations,
        "by_epoch": False,
    }
    interval = max(config.iterations // CHECKPOINTS_PER_RUN, 1)
    hooks = {
        **{name: base["default_hooks"][name] for name in ("timer", "param_scheduler", "sampler_seed")},
        "logger": {**base["default_hooks"]["logger"], "interval": max(config.iterations // REPORTS, 1)},
        "checkpoint": {
            **base["default_hooks"]["checkpoint"],
            "interval": interval,
            "max_keep_ckpts": KEPT_CHECKPOINTS,
        },
    }
    return {
        "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": config.iterations},
        "test_cfg": base["test_cfg"],
        "optim_wrapper": optim_wrapper(config.optimizer, config.global_batch_size),
        "param_scheduler": [*warm_up(config.optimizer), poly],
        "default_hooks": hooks,
    }


def segment(checkpoint: Path, config: SegmentationConfig, context: Context) -> dict[str, float | None]:
    """Train and test with MMSegmentation; see ``evaluators.segmentation.evaluate``."""
    from evaluators.dense.run import run

    done = run(
        library="mmseg",
        checkpoint=checkpoint,
        config=config,
        context=context,
        library_config=lambda header, machine: library_config(config, header, machine),
    )
    values = {name: float(done[name]) for name in ("mIoU", "mAcc", "aAcc")}
    # The library's mean over no class is NaN.
    return {name: None if math.isnan(value) else value for name, value in values.items()}
