"""Optimisers and the parameter groups they act on."""

from pretrain.optim.build import build_optimizer, clip_gradients, set_rates
from pretrain.optim.lars import LARS

__all__ = ["LARS", "build_optimizer", "clip_gradients", "set_rates"]
