"""BEiT against its formula written out. The tokenizers are random: DALL-E's weights are on no package registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pretrain.assets import VARIABLE, find_asset
from pretrain.batch import Batch, Place
from pretrain.checkpoint import file_sha256
from pretrain.config import Normalisation
from pretrain.errors import InputError
from pretrain.methods import beit
from pretrain.methods.interface import RunFacts
from pretrain.methods.parts.tokenizer import Tokenizer, load_tokenizer
from pretrain.resolve import resolve_pretraining
from pretrain.testing import check_method
from tests.pretrain.methods.common import assert_same_gradients, built, count, decay_of_each

SMALL = {"masked_patches": 6, "smallest_block": 1, "drop_path_rate": 0.0}
PLACE = Place(draw_seed=5)
VIEWS = (
    {"crop_scale": (0.4, 1.0), "interpolation": "bicubic"},
    {"crop_scale": (0.4, 1.0), "interpolation": "lanczos", "size": 32, "repeats": 0},
)


def save_tokenizer(directory: Path, **sizes: int) -> str:
    """Write a random tokenizer and return its SHA-256."""
    torch.manual_seed(0)
    torch.save(Tokenizer(**sizes).state_dict(), directory / "encoder.pth")
    return file_sha256(directory / "encoder.pth")


@pytest.fixture
def sha256(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The SHA-256 of a small random tokenizer that runs find."""
    monkeypatch.setenv(VARIABLE, f"/nowhere:{tmp_path}")
    return save_tokenizer(tmp_path, hidden=8, vocabulary=20)


def test_rule(sha256: str) -> None:
    options = {**SMALL, "drop_path_rate": 0.3, "tokenizer_sha256": sha256}
    check_method("beit", options=options, views=VIEWS, backbones=("tiny_beit",))


def test_loss_and_gradients_equal_the_formula(sha256: str) -> None:
    """The cross-entropy over all hidden patches of the batch, of classes from the tokenizer's own arithmetic."""
    method = built("beit", {**SMALL, "tokenizer_sha256": sha256}, "tiny_beit").double()
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(4, 3, 16, 16, generator=generator, dtype=torch.float64)
    seen = torch.rand(4, 3, 32, 32, generator=generator, dtype=torch.float64)
    mask = torch.rand(4, 16, generator=generator) < 0.4  # another number in each image, as blocks may leave
    method.draw_mask = lambda images, place: mask
    loss, logs = method.loss(Batch((images, seen), torch.zeros(4), torch.arange(4), draw_seed=5))

    vit = method.backbone
    weight = mask.unsqueeze(-1).double()
    tokens = vit.patch_embed(images) * (1 - weight) + method.token * weight
    tokens = torch.cat([vit.cls_token.expand(4, -1, -1), tokens], dim=1)
    for block in vit.blocks:
        tokens = block(tokens, shared_rel_pos_bias=vit.rel_pos_bias())
    logits = vit.norm(tokens)[:, 1:] @ method.classifier.weight.T + method.classifier.bias
    classes = tokens_by_hand(method._tokenizer[0], seen)
    losses = [
        -logits[image, patch].log_softmax(dim=0)[classes[image, patch]]
        for image in range(4)
        for patch in range(16)
        if mask[image, patch]
    ]
    assert_same_gradients(loss, torch.stack(losses).mean(), method.named_parameters())
    torch.testing.assert_close(logs["masked_loss"], loss.detach())


def tokens_by_hand(tokenizer: Tokenizer, pixels: Tensor) -> Tensor:
    """The encoder of dall_e/encoder.py from its state dict alone, one convolution after another."""
    state, relu = tokenizer.state_dict(), torch.relu

    def convolve(name: str, images: Tensor) -> Tensor:
        weight = state[f"blocks.{name}.w"]
        return torch.nn.functional.conv2d(
            images, weight, state[f"blocks.{name}.b"], padding=(weight.shape[-1] - 1) // 2
        )

    images = convolve("input", 0.8 * pixels.float() + 0.1)
    for group in range(1, 5):
        for block in (1, 2):
            name = f"group_{group}.block_{block}"
            branch = images
            for number in range(1, 5):
                branch = convolve(f"{name}.res_path.conv_{number}", relu(branch))
            straight = convolve(f"{name}.id_path", images) if f"blocks.{name}.id_path.w" in state else images
            images = straight + branch / 64
        if group < 4:
            images = torch.nn.functional.max_pool2d(images, 2)
    return convolve("output.conv", relu(images)).argmax(dim=1).flatten(1)


def test_the_tokenizer_sees_pixels_and_has_the_official_size(tmp_path: Path, sha256: str) -> None:
    with torch.device("meta"):
        official = Tokenizer()
    layers, width = [(3, 256, 7), (2048, 8192, 1)], 256
    for out in (256, 256, 512, 512, 1024, 1024, 2048, 2048):
        layers += [(width, out // 4, 3), (out // 4, out // 4, 3), (out // 4, out // 4, 3), (out // 4, out, 1)]
        layers += [(width, out, 1)] if width != out else []
        width = out
    assert count(official) == sum(a * b * side**2 + b for a, b, side in layers) == 53_786_240
    tokenizer = load_tokenizer(find_asset(sha256, setting="tokenizer_sha256", what="it"))
    assert tokenizer(torch.rand(2, 3, 32, 32)).shape == (2, 16)
    run = RunFacts(1, 4, 64, 16, (16, 32), Normalisation(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7)))
    plain = built("beit", {**SMALL, "tokenizer_sha256": sha256}, "tiny_beit")
    options = beit.Config.model_validate({**SMALL, "tokenizer_sha256": sha256})
    method: Any = beit.build(options, backbone=plain.backbone, feature_dimension=64, num_classes=10, run=run)
    pixels = torch.rand(3, 3, 32, 32)
    shape = (1, 3, 1, 1)
    normalised = (pixels - torch.tensor((0.1, 0.2, 0.3)).view(shape)) / torch.tensor((0.5, 0.6, 0.7)).view(shape)
    found = method.target_features(normalised, Place(5, 1))["classes"]
    assert (found == plain.target_features(pixels, Place(5, 1))["classes"]).float().mean() > 0.95, "but for rounding"


def test_the_tokenizer_is_no_state(sha256: str) -> None:
    method = built("beit", {**SMALL, "tokenizer_sha256": sha256}, "tiny_beit")
    assert not any("w" in name.split(".") for name in method.state_dict())
    assert decay_of_each(method)["token"] == 0.1
    assert decay_of_each(method)["backbone.cls_token"] == 0.0


def test_full_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    options = {"tokenizer_sha256": save_tokenizer(tmp_path, hidden=8, vocabulary=8192)}
    method = built("beit", options, "beit_base", 224)
    assert count(method) == 91_965_776
    hidden = method.draw_mask(torch.zeros(100, 3, 224, 224), PLACE).sum(dim=1)
    assert hidden.max() <= 75
    assert float(hidden.float().mean()) > 70


def test_a_missing_or_unreadable_tokenizer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(InputError, match=f"because {VARIABLE} is not set; type export {VARIABLE}=DIRECTORY"):
        find_asset("0" * 64, setting="tokenizer_sha256", what="it")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(InputError, match=f"found no file with the SHA-256 0+ in {VARIABLE}={tmp_path}"):
        find_asset("0" * 64, setting="tokenizer_sha256", what="it")
    torch.save(Tokenizer(hidden=8, vocabulary=20), tmp_path / "module.pkl")
    with pytest.raises(InputError, match="no state dict that can be read safely"):
        load_tokenizer(tmp_path / "module.pkl")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="has no weights of DALL-E's encoder"):
        load_tokenizer(tmp_path / "other.pth")


@pytest.mark.parametrize(
    ("backbone", "options", "message"),
    [
        ("tiny_resnet", {}, "backbone: beit hides patches of a ViT, and tiny_resnet has none"),
        ("tiny_beit", {"tokenizer_sha256": ""}, "tokenizer_sha256: beit needs the SHA-256 of its tokenizer"),
        ("tiny_beit", {"tokenizer_sha256": "abc"}, "tokenizer_sha256: string should match pattern"),
        ("tiny_beit", {"views": [VIEWS[0]]}, "views: beit takes two, .* repeats: 0 and size: 32"),
        ("tiny_beit", {"masked_patches": 16}, "masked_patches: 16 leaves no patch to be seen"),
    ],
)
def test_what_cannot_be_done_is_refused(backbone: str, options: dict[str, Any], message: str) -> None:
    given = {"tokenizer_sha256": "0" * 64, **options}
    with pytest.raises(InputError, match=message):
        resolve_pretraining(
            method="beit", backbone=backbone, dataset="digits", seed=0, options=given, recipe="digits-beit-vit"
        )
