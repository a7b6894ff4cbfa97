"""DALL-E's image tokenizer (Ramesh et al., arXiv 2102.12092): the encoder of its discrete autoencoder.

Source: openai/DALL-E, ``dall_e/encoder.py``. Modules and weights have its names, so a state dict of it loads. The
official weights are one pickled module; save its state dict to use them: ``torch.save(model.state_dict(), path)``.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain.checkpoint import load_exactly
from pretrain.errors import InputError

GROUPS = 4
State = dict[str, Tensor]


class Convolution(nn.Module):
    """A convolution that keeps the image's size; its weights are called w and b."""

    def __init__(self, inputs: int, outputs: int, side: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.empty(outputs, inputs, side, side).normal_(std=(inputs * side**2) ** -0.5))
        self.b = nn.Parameter(torch.zeros(outputs))

    def forward(self, images: Tensor) -> Tensor:
        return F.conv2d(images, self.w, self.b, padding=self.w.shape[-1] // 2)


class Block(nn.Module):
    """The input plus a small multiple of four convolutions of it."""

    def __init__(self, inputs: int, outputs: int, gain: float) -> None:
        super().__init__()
        self.gain = gain
        hidden = outputs // 4
        self.id_path = Convolution(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        sizes = [(inputs, hidden, 3), (hidden, hidden, 3), (hidden, hidden, 3), (hidden, outputs, 1)]
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number, size in enumerate(sizes, start=1):
            layers[f"relu_{number}"] = nn.ReLU()
            layers[f"conv_{number}"] = Convolution(*size)
        self.res_path = nn.Sequential(layers)

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.id_path(images) + self.gain * self.res_path(images)
        return found


class Tokenizer(nn.Module):
    """From pixels in [0, 1] to one of ``vocabulary`` tokens for each square of 8 × 8 pixels."""

    def __init__(self, hidden: int = 256, blocks_per_group: int = 2, vocabulary: int = 8192) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        gain = 1 / (GROUPS * blocks_per_group) ** 2
        parts: OrderedDict[str, nn.Module] = OrderedDict(input=Convolution(3, hidden, 7))
        width = hidden
        for group in range(GROUPS):
            layers: OrderedDict[str, nn.Module] = OrderedDict()
            for number in range(1, blocks_per_group + 1):
                layers[f"block_{number}"] = Block(width, hidden * 2**group, gain)
                width = hidden * 2**group
            if group < GROUPS - 1:
                layers["pool"] = nn.MaxPool2d(2)
            parts[f"group_{group + 1}"] = nn.Sequential(layers)
        parts["output"] = nn.Sequential(OrderedDict(relu=nn.ReLU(), conv=Convolution(width, vocabulary, 1)))
        self.blocks = nn.Sequential(parts)
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        """Return the tokens (B, rows · columns) of pixels (B, 3, 8 · rows, 8 · columns), row by row."""
        with torch.autocast(pixels.device.type, enabled=False):
            scores: Tensor = self.blocks(0.8 * pixels.float() + 0.1)
        return scores.argmax(dim=1).flatten(1)


def load_tokenizer(path: Path) -> Tokenizer:
    """Return the tokenizer of a state dict, whose sizes its shapes tell.

    Raises
    ------
    InputError
        The file holds no plain tensors, or not those of DALL-E's encoder.
    """
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever it runs into
        raise InputError(
            f"{path}: is no state dict that can be read safely ({type(error).__name__}); if it is a pickled module, "
            "load it where you trust it and save its state_dict() with torch.save"
        ) from error
    groups = [re.fullmatch(r"blocks\.group_1\.block_(\d+)\.res_path\.conv_1\.w", name) for name in state]
    numbers = [int(match[1]) for match in groups if match]
    ends = [state.get("blocks.input.w"), state.get("blocks.output.conv.w")]
    first, last = ends
    if not numbers or first is None or last is None:
        raise InputError(f"{path}: has no weights of DALL-E's encoder, such as blocks.input.w and blocks.output.conv.w")
    tokenizer = Tokenizer(len(first), max(numbers), len(last))
    load_exactly(tokenizer, state, what=str(path))
    return tokenizer.eval()
