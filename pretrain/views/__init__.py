"""Turns decoded images into a model's input tensors.

Pretraining works in two stages. In the loader's workers, per image: crop and resize to uint8 (``crop``). On the
device, per batch: colour, blur, flip, normalisation (``augment``). Supervised training and finetuning use timm's
per-image transform instead (``timm_train``). Evaluation uses a centre crop (``evaluation``).

Plans read only ``config``; the other modules import torch.
"""
