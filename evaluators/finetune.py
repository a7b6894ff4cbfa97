"""End-to-end finetuning: the pretrained backbone and a linear head trained on labels, with the settings of DeiT or MAE.

Protocol
    DeiT's recipe of 2021: AdamW 5e-4 × batch/512, weight decay 0.05, cosine with 5 warm-up epochs, drop path 0.1,
    RandAugment, random erasing, mixup, CutMix, label smoothing, repeated augmentation ×3; no layer decay, no
    clipping; top-1 of the raw weights on the centre crop, of the last epoch. The recipes ``finetune-mae``,
    ``finetune-beit``, ``finetune-simmim``, ``finetune-ibot``, ``finetune-msn`` and ``finetune-dino`` are those of these
    methods' numbers: layer decay, mean pooling with a new normalisation, a position bias for each block, a rate that
    changes with each step.
Source
    DeiT (arXiv 2012.12877), table 9, and facebookresearch/deit ``main.py`` of 2021; OPERA's paper, table 2: 100, 150
    or 200 epochs for ViT-S, 150 for ViT-B, batch 1024, 2048 or 4096.
Command
    ``opera-bench evaluate finetune RUN_ID``
Expected
    top1, ImageNet, ±0.4: OPERA's table 2, beside ours in ``opera-bench tables table2``; for MoCo-v3 after 300 epochs
    at batch 1024, 79.1 (ViT-S) and 82.1 (ViT-B) with 150 epochs of finetuning. MoCo-v3's repository reports, at batch
    4096, 81.4 for ViT-S with 300 epochs of finetuning (moco-v3#19) and 83.2 for ViT-B with 150.
    With the methods' own recipes, ViT-B: MAE 83.6, SimMIM 83.8, iBOT 84.0, MSN 83.4, BEiT 83.2, DINO 82.8.
Runtime
    Not measured on ImageNet: one training of the backbone for as many epochs. The digits: about 4 s on one core.
"""

from __future__ import annotations

from pathlib import Path

from evaluators.interface import Context
from evaluators.parts.config import TRAINED_METRICS, FinetuneConfig

METRICS = TRAINED_METRICS


class Config(FinetuneConfig):
    """Finetuning on the labels of ``dataset``."""


def evaluate(checkpoint: Path, config: Config, context: Context) -> dict[str, float]:
    """Return ``top1``, ``top5``, ``train_loss`` of the last epoch and the best ``best_top1``; see ``finetuning``."""
    from evaluators.parts.finetuning import finetune

    return finetune(checkpoint, config, context)
