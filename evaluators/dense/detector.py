"""Builds MMDetection's configuration for one evaluation and runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluators.dense.backbone import measure_features
from evaluators.dense.common import (
    KEPT_CHECKPOINTS,
    base_config,
    batch_per_process,
    loaders,
    optim_wrapper,
    preprocessor,
    runtime,
    warm_up,
)
from evaluators.dense.config import DetectionConfig, Machine
from evaluators.dense.library import config_file
from evaluators.interface import Context
from pretrain.checkpoint import CheckpointHeader
from pretrain.datasets import DatasetInfo, find_dataset

BASE = "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"
METRICS = {
    f"{kind}_AP{suffix}": f"coco/{word}_mAP{'_' if suffix else ''}{suffix}"
    for kind, word in (("box", "bbox"), ("mask", "segm"))
    for suffix in ("", "50", "75")
}
"""Our metric names → the library's; its values are shares rounded to three decimals."""


def library_config(config: DetectionConfig, header: CheckpointHeader, machine: Machine) -> dict[str, Any]:
    """Return MMDetection's ``mask-rcnn_r50_fpn_1x_coco`` with these changes:

    - backbone: the pretrained module (``evaluators.dense.backbone``) with its normalisation; frozen stages and batch
      normalisation from ``config``; channels and strides of FPN, anchors and RoIs to match (for R50 the shipped ones);
    - FPN and heads without normalisation, as shipped;
    - schedule, optimiser and batch from ``config``; the learning rate is for the global batch, ``auto_scale_lr`` off;
    - no validation during training; one test after the last epoch, with AP per class.
    """
    base = base_config(config_file("mmdet", BASE))
    info = find_dataset(config.dataset).INFO
    return {
        "model": _model(base["model"], config, header, info, machine),
        **_data(base, config, info, machine),
        **_schedule(base, config),
        **runtime(base, seed=config.seed, machine=machine),
    }


def _model(
    base: dict[str, Any], config: DetectionConfig, header: CheckpointHeader, info: DatasetInfo, machine: Machine
) -> dict[str, Any]:
    features = measure_features(header.backbone, image_size=header.image_size)
    strides = [stride for _, stride in features]
    pyramid = [*strides, 2 * strides[-1]]
    width, rpn, roi = config.feature_channels, base["rpn_head"], base["roi_head"]
    box_head = {"in_channels": width, "fc_out_channels": config.box_head_channels, "num_classes": info.num_classes}
    mask_head = {"in_channels": width, "conv_out_channels": width, "num_classes": info.num_classes}
    sampling = base["train_cfg"]["rcnn"]
    extractor = {"out_channels": width, "featmap_strides": strides}
    return {
        **base,
        "data_preprocessor": preprocessor(base["data_preprocessor"], header.normalisation),
        "backbone": {
            "type": "mmengine.OperaBackbone",
            "name": header.backbone,
            "checkpoint": machine.checkpoint,
            "image_size": header.image_size,
            "frozen_stages": config.frozen_stages,
            "norm_eval": config.norm_eval,
        },
        "neck": {**base["neck"], "in_channels": [channels for channels, _ in features], "out_channels": width},
        "rpn_head": {
            **rpn,
            "in_channels": width,
            "feat_channels": width,
            "anchor_generator": {**rpn["anchor_generator"], "strides": pyramid},
        },
        "roi_head": {
            **roi,
            "bbox_roi_extractor": {**roi["bbox_roi_extractor"], **extractor},
            "bbox_head": {**roi["bbox_head"], **box_head},
            "mask_roi_extractor": {**roi["mask_roi_extractor"], **extractor},
            "mask_head": {**roi["mask_head"], **mask_head},
        },
        "train_cfg": {
            **base["train_cfg"],
            "rcnn": {**sampling, "sampler": {**sampling["sampler"], "num": config.regions_per_image}},
        },
    }


def _data(base: dict[str, Any], config: DetectionConfig, info: DatasetInfo, machine: Machine) -> dict[str, Any]:
    overrides: dict[str, dict[str, Any]] = {
        "Resize": {"scale": config.resize_scale},
        "RandomFlip": {"prob": config.flip_probability},
    }

    def loader(shipped: dict[str, Any], batch_size: int, **more: Any) -> dict[str, Any]:
        pipeline = [{**step, **overrides.get(step["type"], {})} for step in shipped["dataset"]["pipeline"]]
        names = {"metainfo": {"classes": info.classes}} if info.classes else {}
        changed = {"type": "mmengine.OrderedCocoDataset", "data_root": machine.data_root, **names, "pipeline": pipeline}
        dataset = {**shipped["dataset"], **changed, **more}
        return {**shipped, "batch_size": batch_size, **loaders(machine), "dataset": dataset}

    kept = {"filter_empty_gt": True, "min_size": config.smallest_side}
    annotations = f"{machine.data_root}/{base['test_dataloader']['dataset']['ann_file']}"
    return {
        "train_dataloader": loader(
            base["train_dataloader"], batch_per_process(config.global_batch_size, machine.world_size), filter_cfg=kept
        ),
        "test_dataloader": loader(base["test_dataloader"], 1),
        "test_evaluator": {
            **base["test_evaluator"],
            "type": "mmengine.ClassAP",
            "ann_file": annotations,
            "classwise": True,
        },
    }


def _schedule(base: dict[str, Any], config: DetectionConfig) -> dict[str, Any]:
    steps = next(step for step in base["param_scheduler"] if step["type"] == "MultiStepLR")
    shipped = base["default_hooks"]
    return {
        "train_cfg": {"type": "EpochBasedTrainLoop", "max_epochs": config.epochs_in_all},
        "test_cfg": base["test_cfg"],
        "optim_wrapper": optim_wrapper(config.optimizer, config.global_batch_size),
        "param_scheduler": [
            *warm_up(config.optimizer),
            {**steps, "end": config.epochs_in_all, "milestones": config.milestones},
        ],
        "auto_scale_lr": {**base["auto_scale_lr"], "enable": False},
        "default_hooks": {
            **{name: shipped[name] for name in ("timer", "logger", "param_scheduler", "sampler_seed")},
            "checkpoint": {**shipped["checkpoint"], "max_keep_ckpts": KEPT_CHECKPOINTS},
        },
    }


def detect(checkpoint: Path, config: DetectionConfig, context: Context) -> dict[str, float | None]:
    """Train and test with MMDetection; see ``evaluators.detection.evaluate``."""
    from evaluators.dense.run import run

    done = run(
        library="mmdet",
        checkpoint=checkpoint,
        config=config,
        context=context,
        library_config=lambda header, machine: library_config(config, header, machine),
    )
    # The library's AP is −1 if there is no object.
    return {ours: None if done[name] < 0 else round(100 * float(done[name]), 4) for ours, name in METRICS.items()}
