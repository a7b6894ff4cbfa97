"""Optimisers and the parameter groups they act on."""

from pretrain.optim.build import build_optimizer, set_learning_rate
from pretrain.optim.lars import LARS

__all__ = ["LARS", "build_optimizer", "set_learning_rate"]
