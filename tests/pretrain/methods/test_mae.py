"""MAE against its formulas written out: what is encoded, what is predicted, what counts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pretrain.backbones.families.vit import visible_tokens
from pretrain.batch import Batch, Place
from pretrain.errors import InputError
from pretrain.methods.networks.mae import normalised_patches
from pretrain.resolve import resolve_pretraining
from pretrain.testing import check_method
from tests.pretrain.methods.common import ONE_VIEW, assert_same_gradients, built, count, decay_of_each

SMALL = {"decoder_width": 32, "decoder_depth": 2, "decoder_heads": 4}
PLACE = Place(draw_seed=5)


def test_rule() -> None:
    check_method("mae", options=SMALL, views=ONE_VIEW, backbones=("tiny_vit",))


def small_mae(**options: Any) -> Any:
    return built("mae", {**SMALL, **options}).double()


def random_images(rows: int = 3, seed: int = 1) -> Tensor:
    return torch.randn(rows, 3, 16, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def attend(block: Any, tokens: Tensor) -> Tensor:
    """One transformer block of one image's tokens, (N, width), from its weights alone."""

    def norm(layer: Any, rows: Tensor) -> Tensor:
        centred = rows - rows.mean(dim=1, keepdim=True)
        deviation = (centred.square().mean(dim=1, keepdim=True) + 1e-6).sqrt()
        return centred / deviation * layer.weight + layer.bias

    heads, width = block.attn.num_heads, tokens.shape[1]
    query, key, value = (norm(block.norm1, tokens) @ block.attn.qkv.weight.T + block.attn.qkv.bias).split(width, dim=1)
    parts = []
    for head in range(heads):
        columns = slice(head * width // heads, (head + 1) * width // heads)
        scores = query[:, columns] @ key[:, columns].T / (width // heads) ** 0.5
        parts.append(scores.softmax(dim=1) @ value[:, columns])
    tokens = tokens + torch.cat(parts, dim=1) @ block.attn.proj.weight.T + block.attn.proj.bias
    hidden = torch.nn.functional.gelu(norm(block.norm2, tokens) @ block.mlp.fc1.weight.T + block.mlp.fc1.bias)
    return tokens + hidden @ block.mlp.fc2.weight.T + block.mlp.fc2.bias


def loss_by_hand(method: Any, images: Tensor, order: Tensor) -> Tensor:
    """The mean over hidden patches of all images of their mean squared error, one image and patch at a time."""
    vit, side, visible = method.backbone, 4, 4  # a quarter of 16 patches
    losses = []
    for image, shuffled in zip(images, order, strict=True):
        patches = [image[:, r : r + side, c : c + side] for r in range(0, 16, side) for c in range(0, 16, side)]
        kernel = vit.patch_embed.proj.weight.flatten(1)
        embedded = torch.stack([kernel @ patch.flatten() + vit.patch_embed.proj.bias for patch in patches])
        embedded = embedded + vit.pos_embed[0, 1:]
        tokens = torch.cat([vit.cls_token[0] + vit.pos_embed[0, :1], embedded[shuffled[:visible]]])
        for block in vit.blocks:
            tokens = attend(block, tokens)
        tokens = method.decoder_embedding(
            torch.nn.functional.layer_norm(tokens, (64,), vit.norm.weight, vit.norm.bias, 1e-6)
        )
        place = {int(patch): 1 + at for at, patch in enumerate(shuffled[:visible])}
        sequence = torch.stack(
            [tokens[0], *(tokens[place[patch]] if patch in place else method.token[0, 0] for patch in range(16))]
        )
        sequence = sequence + method.decoder_positions[0]
        *blocks, norm, last = method.decoder
        for block in blocks:
            sequence = attend(block, sequence)
        predicted = last(norm(sequence))[1:]
        for patch in shuffled[visible:].tolist():
            pixels = torch.stack(
                [
                    patches[patch][channel, row, column]
                    for row in range(4)
                    for column in range(4)
                    for channel in range(3)
                ]
            )
            spread = (pixels - pixels.mean()).square().sum() / (len(pixels) - 1)
            truth = (pixels - pixels.mean()) / (spread + 1e-6).sqrt()
            losses.append((predicted[patch] - truth).square().mean())
    assert len(losses) == 12 * len(images)
    return torch.stack(losses).mean()


def test_loss_and_gradients_equal_the_formulas() -> None:
    method, images = small_mae(), random_images()
    order = method.draw_order(images, PLACE)
    loss, logs = method.loss(Batch((images,), torch.zeros(3), torch.arange(3), draw_seed=5))
    assert_same_gradients(loss, loss_by_hand(method, images, order), method.named_parameters())
    torch.testing.assert_close(logs["masked_loss"], loss.detach())


def test_full_size() -> None:
    method = built("mae", {}, "vit_base", 224)
    assert count(method) == 111_907_840
    decoder = count(method) - count(method.backbone)
    assert decoder == 26_109_184
    assert not method.decoder_positions.requires_grad


def test_the_encoder_sees_visible_patches_alone() -> None:
    method, images = small_mae(), random_images()
    lengths: list[int] = []
    method.backbone.blocks[0].register_forward_pre_hook(lambda _, inputs: lengths.append(inputs[0].shape[1]))
    order = method.draw_order(images, PLACE)
    changed = images.clone()
    hidden = int(order[0, -1])
    row, column = 4 * (hidden // 4), 4 * (hidden % 4)
    changed[0, :, row : row + 4, column : column + 4] = 9.0
    one, other = (visible_tokens(method.backbone, batch, order[:, :4]) for batch in (images, changed))
    assert lengths == [5, 5], "the class token and a quarter of the patches"
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_visible_patches_give_no_loss() -> None:
    """Their own pixels matter as input alone: neither a prediction nor a target of theirs counts."""
    method, images = small_mae(), random_images()
    order = method.draw_order(images, PLACE)
    predicted = torch.randn(3, 16, 48, dtype=torch.float64, requires_grad=True)
    method.errors(predicted, images, order[:, 4:]).sum().backward()
    of_patches = predicted.grad.abs().sum(dim=2)
    assert (of_patches.gather(1, order[:, :4]) == 0).all()
    assert (of_patches.gather(1, order[:, 4:]) > 0).all()


def test_each_image_hides_other_patches_and_each_patch_is_hidden_equally_often() -> None:
    method = built("mae", SMALL)
    order = method.draw_order(torch.zeros(4000, 3, 16, 16), PLACE)
    assert (order.sort(dim=1).values == torch.arange(16)).all()
    shares = torch.zeros(16).index_add(0, order[:, 4:].flatten(), torch.ones(4000 * 12)) / 4000
    torch.testing.assert_close(shares, torch.full((16,), 0.75), rtol=0, atol=0.03)
    assert torch.equal(method.draw_order(torch.zeros(2, 3, 16, 16), Place(5, 0, 10)), order[10:12])


def test_weights_start_as_in_the_official_code() -> None:
    method = built("mae", {}, "vit_base", 224)
    fused = method.backbone.blocks[0].attn.qkv.weight
    assert fused.abs().max() <= (6 / (768 + 3 * 768)) ** 0.5, "query, key and value are one matrix"
    assert float(method.backbone.cls_token.detach().std()) == pytest.approx(0.02, rel=0.2)
    assert normalised_patches(torch.full((1, 3, 16, 16), 0.3), 4).abs().max() < 1e-3, "a flat patch is no division by 0"
    decays = decay_of_each(method)
    assert decays["token"] == decays["backbone.cls_token"] == 0.1
    assert decays["decoder.9.bias"] == 0.0


@pytest.mark.parametrize(
    ("backbone", "options", "message"),
    [
        ("tiny_resnet", {}, "backbone: mae hides patches of a ViT, and tiny_resnet has none"),
        ("tiny_beit", {}, "the position bias of tiny_beit takes all; name a ViT with position embeddings"),
        ("tiny_vit", {"decoder_heads": 5}, "decoder_heads: 5 must divide decoder_width 32"),
        ("tiny_vit", {"mask_ratio": 0.99}, "mask_ratio: 0.99 hides all 16 patches"),
        ("tiny_vit", {"views": [{"crop_scale": [0.4, 1.0], "size": 8}]}, "view 0 has 8 pixels"),
    ],
)
def test_what_cannot_be_masked_is_refused(backbone: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve_pretraining(
            method="mae", backbone=backbone, dataset="digits", seed=0, options=options, recipe="digits-mae-vit"
        )
