"""Self-distillation as in DINO and iBOT: a head with normalised prototypes, a centre, a teacher's temperature."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from pretrain.methods.parts.gather import mean_of_rows
from pretrain.objectives import full_precision

TOKEN_STD = 0.02


class DistillationHead(nn.Module):
    """Three linear layers with GELU between them, L2 normalisation, and cosines to ``output_dimension`` prototypes.

    Source: DINO's official ``vision_transformer.py``, class DINOHead with ``norm_last_layer``: the prototypes' lengths
    are fixed at 1.
    """

    def __init__(self, width: int, hidden_dimension: int, bottleneck_dimension: int, output_dimension: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden_dimension),
            nn.GELU(),
            nn.Linear(hidden_dimension, hidden_dimension),
            nn.GELU(),
            nn.Linear(hidden_dimension, bottleneck_dimension),
        )
        initialise_linear_layers(self.mlp)
        self.last = weight_norm(nn.Linear(bottleneck_dimension, output_dimension, bias=False))
        lengths, _ = self._lengths_and_directions()
        nn.init.ones_(lengths).requires_grad_(False)

    def _lengths_and_directions(self) -> tuple[nn.Parameter, nn.Parameter]:
        """Return what torch computes the last layer's rows from."""
        parametrization: Any = self.last.parametrizations
        return parametrization.weight.original0, parametrization.weight.original1

    def bottleneck(self, features: Tensor) -> Tensor:
        """Return unit vectors, (…, bottleneck_dimension), of features (…, width)."""
        return F.normalize(full_precision(self.mlp(features)), dim=-1)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (…, output_dimension) of features (…, width)."""
        return full_precision(self.last(self.bottleneck(features)))

    def cancel_last_gradient(self) -> None:
        """Make the optimiser leave the prototypes as they are in this step."""
        _, directions = self._lengths_and_directions()
        directions.grad = None


class Centre(nn.Module):
    """A running mean of the teacher's logits, which is subtracted from them."""

    mean: Tensor

    def __init__(self, dimension: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(dimension))

    def probabilities(self, logits: Tensor, temperature: float) -> Tensor:
        """Return the softmax of centred logits (…, dimension)."""
        return F.softmax((logits - self.mean) / temperature, dim=-1)

    @torch.no_grad()
    def move(self, logits: Tensor) -> None:
        """Move the mean towards that of the logits (B, dimension) of all processes."""
        self.mean.lerp_(mean_of_rows(logits).to(self.mean.dtype), 1 - self.momentum)


def initialise_linear_layers(network: nn.Module) -> None:
    """Draw weights of linear layers from a normal distribution of deviation 0.02, and set biases to 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=TOKEN_STD)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def initialise_class_token(backbone: nn.Module) -> None:
    """Draw a ViT's class token with deviation 0.02, as DINO, iBOT and MSN do (timm: 1e-6)."""
    if isinstance(token := getattr(backbone, "cls_token", None), nn.Parameter):
        nn.init.trunc_normal_(token, std=TOKEN_STD)


def tokens_that_decay(backbone: nn.Module) -> list[nn.Parameter]:
    """Return a ViT's class token and position embedding if they train; the official optimisers decay both."""
    tokens = [getattr(backbone, name, None) for name in ("cls_token", "pos_embed")]
    return [token for token in tokens if isinstance(token, nn.Parameter) and token.requires_grad]


def teacher_temperature(epoch: int, *, first: float, last: float, warmup_epochs: int) -> float:
    """Return the temperature of an epoch: linear from ``first`` to ``last``, which the last warm-up epoch has."""
    if epoch >= warmup_epochs:
        return last
    return first + (last - first) * epoch / max(warmup_epochs - 1, 1)
