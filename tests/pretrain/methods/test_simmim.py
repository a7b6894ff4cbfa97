"""SimMIM against its formula written out, and its encoder against the parts that BEiT's papers describe."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pretrain.backbones.lookup import find_backbone
from pretrain.batch import Batch, Place
from pretrain.errors import InputError
from pretrain.resolve import resolve_pretraining
from pretrain.testing import check_method
from tests.pretrain.methods.common import ONE_VIEW, assert_same_gradients, built, count, decay_of_each

SMALL = {"mask_square": 8, "drop_path_rate": 0.0}
PLACE = Place(draw_seed=5)


@pytest.mark.parametrize(("backbone", "drop_path"), [("tiny_beit", 0.3), ("tiny_vit", 0.0)])
def test_rule(backbone: str, drop_path: float) -> None:
    options = {"mask_square": 8, "drop_path_rate": drop_path}
    check_method("simmim", options=options, views=ONE_VIEW, backbones=(backbone,))


def random_images(rows: int = 3) -> Tensor:
    return torch.randn(rows, 3, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def tokens_by_hand(method: Any, images: Tensor, mask: Tensor) -> Tensor:
    """The official forward pass on timm's blocks: embed, replace, prepend the class token, one bias for all blocks."""
    beit = method.backbone
    embedded = beit.patch_embed(images)
    weight = mask.unsqueeze(-1).to(embedded.dtype)
    embedded = embedded * (1 - weight) + method.token * weight
    tokens = torch.cat([beit.cls_token.expand(len(images), -1, -1), embedded], dim=1)
    for block in beit.blocks:
        tokens = block(tokens, shared_rel_pos_bias=beit.rel_pos_bias())
    return beit.norm(tokens)[:, 1:]


def test_loss_and_gradients_equal_the_formula() -> None:
    """|x - x̂| summed over hidden pixels, over their number and over 3; the image put together by a pixel shuffle."""
    method, images = built("simmim", SMALL, "tiny_beit").double(), random_images()
    with torch.no_grad():
        method.backbone.rel_pos_bias.relative_position_bias_table.normal_()
    mask = method.draw_mask(images, PLACE)
    loss, logs = method.loss(Batch((images,), torch.zeros(3), torch.arange(3), draw_seed=5))

    grid = tokens_by_hand(method, images, mask).transpose(1, 2).reshape(3, 64, 4, 4)
    convolved = torch.nn.functional.conv2d(grid, method.decoder.weight[:, :, None, None], method.decoder.bias)
    rebuilt = torch.nn.functional.pixel_shuffle(convolved, 4)
    pixels = mask.view(3, 1, 4, 4).repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    expected = ((images.float().double() - rebuilt).abs() * pixels).sum() / pixels.sum() / 3
    assert_same_gradients(loss, expected, method.named_parameters())
    torch.testing.assert_close(logs["masked_loss"], loss.detach())


def test_visible_pixels_have_no_gradient_as_targets() -> None:
    method, images = built("simmim", SMALL, "tiny_beit").double(), random_images()
    mask = method.draw_mask(images, PLACE)
    decoded: list[Tensor] = []
    method.decoder.register_forward_hook(lambda _, inputs, output: (output.retain_grad(), decoded.append(output))[1])
    method.features(images, PLACE)["error"].sum().backward()
    of_patches = decoded[0].grad.abs().sum(dim=2)
    assert (of_patches[~mask] == 0).all()
    assert (of_patches[mask] > 0).all()


def test_squares_of_whole_patches_are_hidden() -> None:
    method = built("simmim", SMALL, "tiny_beit")
    mask = method.draw_mask(torch.zeros(50, 3, 16, 16), PLACE).view(50, 2, 2, 2, 2)
    assert (mask == mask[:, :, :1, :, :1]).all()
    assert (mask[:, :, 0, :, 0].flatten(1).sum(dim=1) == 3).all(), "60 % of four squares, rounded up"


def test_full_size() -> None:
    method = built("simmim", {}, "beit_base", 224)
    assert count(method) == 86_256_720
    assert method.draw_mask(torch.zeros(2, 3, 224, 224), PLACE).sum(dim=1).tolist() == [120, 120]
    beit = method.backbone
    assert beit.pos_embed is None
    assert beit.rel_pos_bias.relative_position_bias_table.shape == (27 * 27 + 3, 12)
    assert all(block.attn.relative_position_bias_table is None for block in beit.blocks)
    assert all((block.gamma_1 == 0.1).all() and block.attn.qkv.bias is None for block in beit.blocks)
    for number, block in enumerate(beit.blocks, start=1):
        largest = 0.02 / (2 * number) ** 0.5
        for layer in (block.attn.proj, block.mlp.fc2):
            assert 0.99 * largest < layer.weight.abs().max() <= largest * 1.0001
        assert block.attn.qkv.weight.abs().max() <= 0.02


def test_everything_with_two_dimensions_decays_but_the_class_token() -> None:
    decays = decay_of_each(built("simmim", SMALL, "tiny_beit"))
    assert decays["token"] == decays["backbone.rel_pos_bias.relative_position_bias_table"] == 0.1
    assert decays["backbone.cls_token"] == decays["backbone.blocks.0.gamma_1"] == 0.0


def test_a_beit_is_saved_and_loaded_as_it_is() -> None:
    beit = find_backbone("tiny_beit").build(16).eval()
    other = find_backbone("tiny_beit").build(16).eval()
    other.load_state_dict(beit.state_dict())
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(beit(images), other(images))


@pytest.mark.parametrize(
    ("backbone", "options", "message"),
    [
        ("tiny_resnet", {}, "backbone: simmim hides patches of a ViT, and tiny_resnet has none"),
        ("tiny_beit", {"mask_square": 6}, "mask_square: 6 must be a multiple of the 4-pixel patches of tiny_beit"),
        ("tiny_beit", {"views": [{"crop_scale": [0.4, 1.0], "size": 8}]}, "view 0 has 8 pixels"),
    ],
)
def test_what_cannot_be_masked_is_refused(backbone: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve_pretraining(
            method="simmim", backbone=backbone, dataset="digits", seed=0, options=options, recipe="digits-simmim-vit"
        )
