"""Transfer: end-to-end finetuning on a dataset other than the one pretrained on.

Protocol
    MoCo-v3's: finetuning as in ``finetune``, 100 epochs, AdamW 3e-4 × batch/512, 3 warm-up epochs, random resized
    crops of 5 to 100 % and flips only, no repeated augmentation; weight decay, drop path, mixup and CutMix by
    dataset. Images keep the normalisation the backbone was pretrained with. For R50 no recipe is published: the one
    here is this project's choice.
Source
    facebookresearch/moco-v3 ``transfer/``; OPERA's paper, table 3.
Command
    ``opera-bench evaluate transfer RUN_ID --dataset cifar10``
Expected
    top1, MoCo-v3's official ViT-B: CIFAR-10 98.9, CIFAR-100 90.5, Flowers-102 97.7, Pets 93.2, ±0.4.
Runtime
    Not measured at full size: 100 epochs of training on 2,040 to 50,000 images. The digits: about 5 s on one core.
"""

from __future__ import annotations

from pathlib import Path

from evaluators.interface import Context
from evaluators.parts.config import TRAINED_METRICS, FinetuneConfig

METRICS = TRAINED_METRICS


class Config(FinetuneConfig):
    """Finetuning on ``dataset``; the head has one output per class of its training split."""


def evaluate(checkpoint: Path, config: Config, context: Context) -> dict[str, float]:
    """Return ``top1``, ``top5``, ``train_loss`` of the last epoch and the best ``best_top1``; see ``finetuning``."""
    from evaluators.parts.finetuning import finetune

    return finetune(checkpoint, config, context)
