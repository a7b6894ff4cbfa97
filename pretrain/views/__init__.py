"""From decoded images to the tensors a model sees.

Pretraining works in two stages. In the loader's workers, per image: crop and resize to uint8 (``crop``). On
the device, per batch: colour, blur, flip, normalisation (``augment``). Finetuning uses timm's per-image transform
(``timm_train``), or crops and flips alone; evaluation uses a centre crop (``evaluation``).

Plans read ``config`` and ``pretrain.config``; the other modules import torch.
"""
