"""Semantic segmentation: the pretrained backbone under FCN or UPerNet, trained as a whole by MMSegmentation.

Protocol
    ADE20K, 160,000 iterations of 16 crops of 512 pixels; a ResNet under FCN (dilated to stride 8, auxiliary FCN head
    of weight 0.4), a ViT under UPerNet on the blocks 3, 6, 9 and 12 (auxiliary FCN head); single scale, whole images,
    after the last iteration. Synchronised batch normalisation in backbone and heads, nothing frozen.
    Preset ``paper`` follows OPERA's text (SGD 0.01 for both); ``zoo`` follows OpenMMLab (AdamW 6e-5 for ViTs), whose
    model zoo has exactly the numbers of the paper's supervised rows.
Source
    MMSegmentation ``fcn_r50-d8_4xb4-160k_ade20k-512x512`` and ``vit_deit-s16_upernet_8xb2-160k_ade20k-512x512``,
    with the overrides of ``evaluators.dense.segmenter``; OPERA's paper, table 4.
Command
    ``opera-bench evaluate segmentation RUN_ID --dataset ade20k --data DIR``
Expected
    mIoU, ADE20K, ±0.5: OPERA's table 4, beside ours in ``opera-bench tables table4``; the zoo's supervised R50, ViT-S
    and ViT-B reach 36.1, 42.9 and 45.4.
Runtime
    Not measured on ADE20K. The digit scenes: about 40 s on one core.
"""

from __future__ import annotations

from pathlib import Path

from evaluators.dense.config import SegmentationConfig as Config
from evaluators.dense.library import require, why_unavailable
from evaluators.interface import Context, Metric

# Tolerances of 0.5 are this project's choice; no source gives a value.
METRICS = (
    Metric(name="mIoU", label="mIoU", unit="%", higher_is_better=True, tolerance=0.5, headline=True),
    Metric(name="mAcc", label="Mean class accuracy", unit="%", higher_is_better=True, tolerance=0.5),
    Metric(name="aAcc", label="Pixel accuracy", unit="%", higher_is_better=True, tolerance=0.5),
)


def unavailable() -> str | None:
    """Return in one sentence why this Python can't run MMSegmentation, or None; imports the library."""
    return why_unavailable("mmseg")


def evaluate(checkpoint: Path, config: Config, context: Context) -> dict[str, float | None]:
    """Return ``mIoU``, ``mAcc`` and ``aAcc`` in percent; values per class go to ``artifacts/per_class.json``.

    Raises
    ------
    InputError
        MMSegmentation is missing, or the checkpoint or data can't be used; the message names the file.
    NonFiniteLossError
        The loss became NaN or infinite.
    """
    require("mmseg")
    from evaluators.dense.segmenter import segment

    return segment(checkpoint, config, context)
