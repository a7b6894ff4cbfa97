"""BEiT's vision transformer, which SimMIM has too, in plain torch: each attention score gets its entry of a table."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.pretrain.foreign.layouts import Mlp, PatchEmbed, randomise

WIDTH, HEADS, DEPTH, PATCH, GRID = 64, 4, 4, 4, 4
"""``tiny_vit`` and ``tiny_beit`` for images of 16 pixels."""


class BeitAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.q_bias, self.v_bias = nn.Parameter(torch.zeros(WIDTH)), nn.Parameter(torch.zeros(WIDTH))
        self.proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, bias: Tensor | None) -> Tensor:
        query, key, value = self.qkv(x).split(WIDTH, dim=2)
        size, mixed = WIDTH // HEADS, []
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            scores = (query + self.q_bias)[..., part] @ key[..., part].transpose(1, 2) / size**0.5
            weights = (scores if bias is None else scores + bias[..., head]).softmax(dim=2)
            mixed.append(weights @ (value + self.v_bias)[..., part])
        return self.proj(torch.cat(mixed, dim=2))


class BeitBlock(nn.Module):
    def __init__(self, layer_scale: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, eps=1e-6), nn.LayerNorm(WIDTH, eps=1e-6)
        self.attn, self.mlp = BeitAttention(), Mlp(WIDTH)
        self.gamma_1 = nn.Parameter(torch.ones(WIDTH)) if layer_scale else None
        self.gamma_2 = nn.Parameter(torch.ones(WIDTH)) if layer_scale else None

    def forward(self, x: Tensor, bias: Tensor | None) -> Tensor:
        attended = self.attn(self.norm1(x), bias)
        x = x + (attended if self.gamma_1 is None else self.gamma_1 * attended)
        changed = self.mlp(self.norm2(x))
        return x + (changed if self.gamma_2 is None else self.gamma_2 * changed)


class SharedBias(nn.Module):
    """A table with a row for each pair of offsets, then rows for class to patch, patch to class, class to class."""

    def __init__(self) -> None:
        super().__init__()
        rows = (2 * GRID - 1) ** 2
        self.relative_position_bias_table = nn.Parameter(torch.zeros(rows + 3, HEADS))
        index = torch.full((GRID**2 + 1, GRID**2 + 1), rows)
        for one in range(GRID**2):
            index[one + 1, 0] = rows + 1
            for other in range(GRID**2):
                down, right = one // GRID - other // GRID, one % GRID - other % GRID
                index[one + 1, other + 1] = (down + GRID - 1) * (2 * GRID - 1) + right + GRID - 1
        index[0, 0] = rows + 2
        self.register_buffer("relative_position_index", index)


class OfficialBeit(nn.Module):
    """BEiT's and SimMIM's ViT; or one with a learned embedding, which may have no layer scale."""

    def __init__(self, *, relative: bool, layer_scale: bool) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.pos_embed = None if relative else nn.Parameter(torch.zeros(1, GRID**2 + 1, WIDTH))
        self.patch_embed = PatchEmbed(WIDTH, PATCH)
        self.rel_pos_bias = SharedBias() if relative else None
        self.blocks = nn.ModuleList(BeitBlock(layer_scale) for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patch_embed.proj(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(images), -1, -1), patches], dim=1)
        x = x if self.pos_embed is None else x + self.pos_embed
        shared = self.rel_pos_bias
        bias = None if shared is None else shared.relative_position_bias_table[shared.relative_position_index]
        for block in self.blocks:
            x = block(x, bias)
        return self.norm(x)[:, 0]


def beit(seed: int, *, relative: bool = True, layer_scale: bool = True) -> OfficialBeit:
    torch.manual_seed(seed)
    model = OfficialBeit(relative=relative, layer_scale=layer_scale)
    randomise(model, keep={"relative_position_index"})
    return model.eval()
