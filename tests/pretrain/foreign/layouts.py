"""The official training checkpoints' layout, defined once more in plain torch, apart from timm and from this suite.

From the facts of MoCo-v3 and OPERA: encoders whose classifier is the projector, a predictor, OPERA's class head
``fully_projector`` on the predictor's output, a momentum encoder that is updated before it gives the keys, and the loss
0.5·(L12 + L21) + 0.5·(CE1 + CE2), each L with the factor 2·temperature.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Sizes = dict[str, int]


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2] // self.heads
        mixed = []
        query, key, value = self.qkv(x).split(x.shape[2], dim=2)
        for head in range(self.heads):
            part = slice(head * size, (head + 1) * size)
            weights = (query[..., part] @ key[..., part].transpose(1, 2) / size**0.5).softmax(dim=2)
            mixed.append(weights @ value[..., part])
        return self.proj(torch.cat(mixed, dim=2))


class Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, patch)


class OfficialViT(nn.Module):
    """The patch projection and the position embedding do not train."""

    def __init__(self, *, width: int, depth: int, heads: int, patch: int, grid: int) -> None:
        super().__init__()
        self.feature_dimension = width
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(sincos(grid, width), requires_grad=False)
        self.patch_embed = PatchEmbed(width, patch).requires_grad_(False)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head: nn.Module = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patch_embed.proj(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(images), -1, -1), patches], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


class BasicBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class OfficialResNet(nn.Module):
    """One basic block a stage and a stem without pooling: our ``tiny_resnet``."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_dimension = 128
        self.conv1 = nn.Conv2d(3, 64, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(BasicBlock(64, 16, 1))
        self.layer2 = nn.Sequential(BasicBlock(16, 32, 2))
        self.layer3 = nn.Sequential(BasicBlock(32, 64, 2))
        self.layer4 = nn.Sequential(BasicBlock(64, 128, 2))
        self.fc: nn.Module = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(images)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean(dim=(2, 3)))


def mlp(layers: int, inputs: int, hidden: int, outputs: int, *, last_norm: bool) -> nn.Sequential:
    parts: list[nn.Module] = []
    for layer in range(layers):
        last = layer == layers - 1
        into = outputs if last else hidden
        parts.append(nn.Linear(inputs if layer == 0 else hidden, into, bias=False))
        if not last:
            parts += [nn.BatchNorm1d(into), nn.ReLU()]
        elif last_norm:
            parts.append(nn.BatchNorm1d(into, affine=False))
    return nn.Sequential(*parts)


class Official(nn.Module):
    """MoCo-v3, and OPERA when there are classes: projector of 3 layers on a ViT and 2 on a ResNet."""

    def __init__(self, make_encoder: Any, *, hidden: int, dimension: int, classes: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.base_encoder, self.momentum_encoder = make_encoder(), make_encoder()
        is_vit = isinstance(self.base_encoder, OfficialViT)
        for encoder in (self.base_encoder, self.momentum_encoder):
            projector = mlp(3 if is_vit else 2, encoder.feature_dimension, hidden, dimension, last_norm=True)
            setattr(encoder, "head" if is_vit else "fc", projector)
        self.predictor = mlp(2, dimension, hidden, dimension, last_norm=is_vit)
        if classes:
            self.fully_projector = mlp(2, dimension, dimension, classes, last_norm=False)
        self.momentum_encoder.requires_grad_(False)

    def contrast(self, queries: Tensor, keys: Tensor) -> Tensor:
        similarities = F.normalize(queries) @ F.normalize(keys).T / self.temperature
        return F.cross_entropy(similarities, torch.arange(len(queries))) * (2 * self.temperature)

    def loss(self, first: Tensor, second: Tensor, labels: Tensor, momentum: float) -> Tensor:
        q1, q2 = self.predictor(self.base_encoder(first)), self.predictor(self.base_encoder(second))
        with torch.no_grad():
            for online, target in zip(self.base_encoder.parameters(), self.momentum_encoder.parameters(), strict=True):
                target.copy_(momentum * target + (1 - momentum) * online)
            k1, k2 = self.momentum_encoder(first), self.momentum_encoder(second)
        contrastive = self.contrast(q1, k2) + self.contrast(q2, k1)
        if not hasattr(self, "fully_projector"):
            return contrastive
        classes = [F.cross_entropy(self.fully_projector(q), labels) for q in (q1, q2)]
        return 0.5 * contrastive + 0.5 * classes[0] + 0.5 * classes[1]


def sincos(grid: int, width: int) -> Tensor:
    """Rows in the first half of the channels, columns in the second; written out one number at a time."""
    table = torch.zeros(1, 1 + grid * grid, width)
    for token in range(grid * grid):
        for half, position in enumerate(divmod(token, grid)):
            for k in range(width // 4):
                angle = torch.tensor(position / 10_000 ** (4 * k / width))
                table[0, 1 + token, half * width // 2 + k] = angle.sin()
                table[0, 1 + token, half * width // 2 + width // 4 + k] = angle.cos()
    return table


def official_state(model: nn.Module) -> dict[str, Tensor]:
    """Names as DistributedDataParallel gives them."""
    return {f"module.{name}": tensor for name, tensor in model.state_dict().items()}


def save_official(path: Path, model: nn.Module, architecture: str) -> Path:
    """What ``main_moco.py`` saves: epoch, architecture, weights, optimiser and loss scaler."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    torch.save(
        {
            "epoch": 300,
            "arch": architecture,
            "state_dict": official_state(model),
            "optimizer": optimizer.state_dict(),
            "scaler": {"scale": 65536.0, "growth_factor": 2.0, "_growth_tracker": 0},
        },
        path,
    )
    return path


@torch.no_grad()
def randomise(model: nn.Module, keep: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    """Every parameter and every batch statistic drawn anew, so that no two parts can be taken for each other."""
    for name, tensor in model.state_dict().items():
        if name.rpartition(".")[2] in keep:
            continue
        if name.endswith("num_batches_tracked"):
            tensor.fill_(7)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 2.0)
        elif name.endswith("weight") and tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5)
        else:
            tensor.normal_(std=tensor[0].numel() ** -0.5 if tensor.ndim > 1 else 0.1)
