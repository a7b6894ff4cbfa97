"""Object detection and instance segmentation: the pretrained ResNet in Mask R-CNN with FPN, by MMDetection.

Protocol
    COCO 2017, Mask R-CNN R50-FPN, 16 images a step, sides up to 1333 × 800 at one scale, flips; 1× is 12 epochs with
    steps after 8 and 11, 2× is 24 with steps after 16 and 22; SGD 0.02, warm-up of 500 iterations; box and mask AP on
    val2017 after the last epoch.
    Normalisation and freezing decide these numbers and the paper states neither. Preset ``sync_bn``, the default:
    synchronised batch normalisation that trains, nothing frozen (−1 here and in MMDetection is detectron2's FREEZE_AT
    0; MMDetection's 0 freezes the stem). Preset ``zoo``: stem and first stage frozen, statistics kept, as the model
    zoo's supervised baseline, which the paper's supervised rows equal to the digit.
Source
    MMDetection ``mask-rcnn_r50_fpn_1x_coco`` and ``_2x_coco``, with the overrides of ``evaluators.dense.detector``;
    OPERA's paper, tables 5 and 6.
Command
    ``opera-bench evaluate detection RUN_ID --dataset coco --data DIR``
Expected
    box_AP and mask_AP, COCO, ±0.3: OPERA's tables 5 and 6, beside ours in ``opera-bench tables table5 table6``; the
    zoo's supervised R50 reaches 38.2 / 34.7 (1×) and 39.2 / 35.4 (2×).
Runtime
    Not measured on COCO. The digit objects: about 45 s on one core.
"""

from __future__ import annotations

from pathlib import Path

from evaluators.dense.config import DetectionConfig as Config
from evaluators.dense.library import require, why_unavailable
from evaluators.interface import Context, Metric

METRICS = tuple(
    Metric(
        name=f"{kind}_AP{suffix}",
        label=f"{kind.capitalize()} AP{where}",
        unit="%",
        higher_is_better=True,
        tolerance=0.3,  # 0.3 AP is noise: facebookresearch/moco#39
        headline=not suffix,
    )
    for kind in ("box", "mask")
    for suffix, where in (("", ""), ("50", " at IoU 0.5"), ("75", " at IoU 0.75"))
)


def unavailable() -> str | None:
    """Return in one sentence why this Python can't run MMDetection, or None; imports the library."""
    return why_unavailable("mmdet")


def evaluate(checkpoint: Path, config: Config, context: Context) -> dict[str, float | None]:
    """Return ``box_AP``, ``box_AP50``, ``box_AP75``, and ``mask_…`` likewise, in percent; per class in ``artifacts/``.

    Raises
    ------
    InputError
        MMDetection is missing, or the checkpoint or data can't be used; the message names the file.
    NonFiniteLossError
        The loss became NaN or infinite.
    """
    require("mmdet")
    from evaluators.dense.detector import detect

    return detect(checkpoint, config, context)
