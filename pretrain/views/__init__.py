"""From decoded images to the tensors a model sees.

Pretraining works in two stages. In the loader's workers, per image: crop and resize to uint8 (``crop``). On
the device, per batch: colour, blur, flip, normalisation (``augment``). Supervised training and finetuning use
timm's per-image transform instead (``timm_train``); evaluation uses a centre crop (``evaluation``).

``config`` is all there is to read at plan time; the other modules import torch.
"""
