"""Signs that features have collapsed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pretrain.methods.parts.gather import mean_of_rows


@torch.no_grad()
def feature_std(features: Tensor) -> Tensor:
    """Return the standard deviation of L2-normalised features (B, D) over the global batch, averaged over dimensions.

    Near 1/√D if features spread over all directions; 0 if all images have the same (SimSiam, section 4.1).
    """
    rows = F.normalize(features.float(), dim=1)
    centred = rows - mean_of_rows(rows)
    return mean_of_rows(centred.square()).sqrt().mean()
