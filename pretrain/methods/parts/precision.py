"""Precision of losses under autocast."""

from __future__ import annotations

import torch
from torch import Tensor


def full_precision(values: Tensor) -> Tensor:
    """Return 16-bit floats as float32, and others as they are: softmax and centres need more than 16 bits."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
