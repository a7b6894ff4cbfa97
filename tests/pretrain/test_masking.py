"""The masked-image space (paper appendix C), against SimMIM's published formulas written out."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pretrain.backbones.families.vit import masked_patch_tokens, patch_size
from pretrain.backbones.lookup import find_backbone
from pretrain.batch import Batch, Place
from pretrain.checkpoint import load_state
from pretrain.config import PretrainConfig
from pretrain.engine import pretrain
from pretrain.engine.state import load_training_state
from pretrain.errors import InputError
from pretrain.hierarchy import BACKBONE, MASKED_PATCHES, ClassLabels, Head, Hierarchy, MaskedPixels, Masking, Space
from pretrain.hierarchy.masking import draw_masks
from pretrain.methods import opera_mim
from pretrain.objectives import masked_absolute_errors
from pretrain.resolve import resolve_pretraining
from tests.pretrain.steps import RUN
from tests.pretrain.test_engine import run, same_bits, tiny_config
from tests.processes import running

OPTIONS = {"mlp_dimension": 32, "embedding_dimension": 16, "hidden_dimension": 16, "mask_square": 4}


def mim_config(**changes: Any) -> PretrainConfig:
    settings = {"method": "opera_mim", "method_options": OPTIONS, "backbone": "tiny_vit", "image_size": 16}
    return tiny_config(**settings, views=[{"crop_scale": (0.5, 1.0)}] * 2, **changes)


def build() -> nn.Module:
    tiny = find_backbone("tiny_vit")
    torch.manual_seed(0)
    config = opera_mim.Config.model_validate(OPTIONS)
    return opera_mim.build(config, backbone=tiny.build(16), feature_dimension=tiny.INFO.width, num_classes=10, run=RUN)


def random_batch(count: int = 6, **where: int) -> Batch:
    generator = torch.Generator().manual_seed(1)
    views = torch.randn(2, count, 3, 16, 16, generator=generator)
    labels = torch.randint(0, 10, (count,), generator=generator)
    return Batch(tuple(views), labels, torch.arange(count), **where)


@pytest.mark.parametrize(
    ("ratio", "image_size", "square", "patch", "hidden_squares"),
    [(0.6, 224, 32, 16, 30), (0.6, 16, 4, 4, 10), (0.5, 32, 8, 4, 8), (0.01, 16, 4, 4, 1), (0.99, 16, 4, 4, 16)],
)
def test_every_image_has_exactly_the_ratio_hidden_in_whole_squares(
    ratio: float, image_size: int, square: int, patch: int, hidden_squares: int
) -> None:
    masking = Masking(ratio, square)
    masks = draw_masks(masking, image_size=image_size, patch_size=patch, rows=range(50), seed=(3, 0))
    side, within = image_size // square, square // patch
    assert masks.shape == (50, (image_size // patch) ** 2)
    grid = masks.view(50, side, within, side, within)
    assert (grid == grid[:, :, :1, :, :1]).all(), "a square is hidden as a whole"
    assert (grid[:, :, 0, :, 0].flatten(1).sum(dim=1) == hidden_squares).all()
    assert hidden_squares == math.ceil(ratio * side**2)


def test_squares_are_hidden_equally_often() -> None:
    masks = draw_masks(Masking(0.5, 4), image_size=8, patch_size=4, rows=range(6000), seed=(0,))
    assert torch.allclose(masks.float().mean(dim=0), torch.tensor(0.5), atol=0.03)
    assert len(masks.unique(dim=0)) == 6, "every pair of the four squares comes up"


def test_masks_belong_to_rows_of_the_global_batch() -> None:
    def rows(start: int, stop: int, seed: int = 7) -> torch.Tensor:
        return draw_masks(Masking(0.6, 4), image_size=16, patch_size=4, rows=range(start, stop), seed=(seed, 0))

    whole = rows(0, 64)
    assert torch.equal(torch.cat([rows(0, 20), rows(20, 64)]), whole)
    assert not torch.equal(rows(0, 64, seed=8), whole)

    method = build()
    images = torch.zeros(6, 3, 16, 16)

    def drawn(place: Place, count: int = 6) -> torch.Tensor:
        return method.masked_patches.draw(method.backbone, images[:count], place)

    one, other = drawn(Place(5, view=0)), drawn(Place(5, view=1))
    assert not torch.equal(one, other), "each view has its own"
    assert torch.equal(drawn(Place(5, view=0, first_row=4), 2), one[4:])
    assert random_batch(first_row=4, draw_seed=5).place(1) == Place(5, view=1, first_row=4)


def test_a_hidden_patch_tells_nothing_and_an_open_mask_changes_nothing() -> None:
    model = find_backbone("tiny_vit").build(16).eval()
    images = torch.randn(2, 3, 16, 16)
    token = torch.randn(64)
    open_mask = torch.zeros(2, 16, dtype=torch.bool)
    torch.testing.assert_close(
        masked_patch_tokens(model, images, open_mask, token), model.forward_features(images)[:, 1:]
    )
    mask = open_mask.clone()
    mask[:, 5] = True  # second row, second column of patches of 4 pixels
    changed = images.clone()
    changed[:, :, 4:8, 4:8] = 100.0
    before = masked_patch_tokens(model, images, mask, token)
    torch.testing.assert_close(masked_patch_tokens(model, changed, mask, token), before)
    assert not torch.allclose(masked_patch_tokens(model, images, mask, token + 1), before)
    torch.testing.assert_close(model(images), model.forward_features(images)[:, 0]), "no hook is left behind"


def test_reconstruction_loss_pixel_by_pixel() -> None:
    """SimMIM section 3.4: the L1 distance over the hidden pixels, divided by their number; here of each image."""
    generator = torch.Generator().manual_seed(0)
    side, patch = 3, 2
    images = torch.randn(2, 3, side * patch, side * patch, generator=generator)
    predicted = torch.randn(2, side**2, 3 * patch**2, generator=generator, requires_grad=True)
    mask = torch.rand(2, side**2, generator=generator) < 0.5
    losses = masked_absolute_errors(predicted, images, mask)
    assert losses.shape == (2,)

    losses.sum().backward()
    for image in range(2):
        total, count = 0.0, 0
        for row in range(side * patch):
            for column in range(side * patch):
                token = row // patch * side + column // patch
                if not mask[image, token]:
                    continue
                for channel in range(3):
                    at = channel * patch**2 + row % patch * patch + column % patch
                    total += abs(predicted[image, token, at].item() - images[image, channel, row, column].item())
                    count += 1
        assert losses[image].item() == pytest.approx(total / count, rel=1e-6)
        of_hidden = predicted.grad[image, mask[image]].abs()
        torch.testing.assert_close(of_hidden, torch.full_like(of_hidden, 1 / count))
    assert (predicted.grad[~mask] == 0).all(), "patches that were seen give no gradient"


def test_the_objective_is_eq_36() -> None:
    """OPERA's three terms from OPERA itself, and the masked one written out, on the same weights."""
    from pretrain.methods import opera

    method = build()
    batch = random_batch(draw_seed=9)
    plain = opera.build(
        opera.Config.model_validate({key: value for key, value in OPTIONS.items() if key != "mask_square"}),
        backbone=copy.deepcopy(method.backbone),
        feature_dimension=64,
        num_classes=10,
        run=RUN,
    )
    plain.load_state_dict({key: value for key, value in method.state_dict().items() if key in plain.state_dict()})
    of_views = []
    for view, images in enumerate(batch.views):
        mask = method.masked_patches.draw(method.backbone, images, Place(9, view))
        tokens = masked_patch_tokens(method.backbone, images, mask, method.masked_patches.token)
        pixels = images.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).reshape(6, 16, 48)
        of_views.append((method.heads["masked"](tokens) - pixels)[mask].abs().mean())
    loss, logs = method.loss(batch)
    torch.testing.assert_close(loss, plain.loss(batch)[0] + 0.5 * of_views[0] + 0.5 * of_views[1])
    torch.testing.assert_close(logs["masked_loss"], torch.stack(of_views).mean().detach())
    assert {"contrastive_loss", "class_loss"} <= logs.keys()


def test_the_target_network_knows_nothing_of_masks() -> None:
    method = build()
    assert list(method.target_heads) == ["projection"]
    names = {name for name, _ in method.named_parameters()}
    assert "masked_patches.token" in names
    assert "heads.masked.0.weight" in names
    assert not any(name.startswith("target") and "masked" in name for name in names)
    seen: list[torch.Tensor] = []
    method.target_backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    batch = random_batch()
    method.loss(batch)[0].backward()
    assert all(one is other for one, other in zip(seen, batch.views, strict=True)), "it sees whole images"
    assert not any(p.grad is not None for p in method.target_backbone.parameters())
    assert method.masked_patches.token.grad.abs().sum() > 0


def test_a_hierarchy_masks_if_and_only_if_a_space_needs_it() -> None:
    decoder = Head(1, 48, 48, bias=True)
    with pytest.raises(ValueError, match="which is no earlier space"):
        Hierarchy((Space("masked", MASKED_PATCHES, decoder, MaskedPixels(1.0)),))
    with pytest.raises(ValueError, match="no space has below='masked patches'"):
        Hierarchy((Space("class", BACKBONE, Head(1, 9, 9), ClassLabels(1.0)),), masking=Masking(0.6, 4))


def test_a_space_on_masked_patches_judges_each_image_alone() -> None:
    masking = Masking(0.6, 4)
    with pytest.raises(ValueError, match="its head has batch normalisation"):
        Hierarchy((Space("masked", MASKED_PATCHES, Head(2, 48, 48), MaskedPixels(1.0)),), masking=masking)
    with pytest.raises(ValueError, match="needs MaskedPixels"):
        Hierarchy((Space("masked", MASKED_PATCHES, Head(1, 48, 48), ClassLabels(1.0)),), masking=masking)
    masked = Space("masked", MASKED_PATCHES, Head(1, 48, 48), MaskedPixels(1.0))
    with pytest.raises(ValueError, match="no space above it"):
        Hierarchy((masked, Space("class", "masked", Head(1, 9, 9), ClassLabels(1.0))), masking=masking)


@pytest.mark.parametrize("name", ["tiny_vit", "tiny_vit_base", "vit_small", "vit_base", "deit_small", "deit_base"])
def test_backbones_have_the_patches_they_announce(name: str) -> None:
    backbone = find_backbone(name)
    side = backbone.INFO.patch_size
    model = backbone.build(32)
    assert patch_size(model) == side
    assert model.forward_features(torch.zeros(1, 3, 32, 32)).shape[1] == (32 // side) ** 2 + 1


def test_other_representations_are_as_without_the_masked_space() -> None:
    """What evaluation asks for: a whole image in the spaces above the backbone."""
    method = build().eval()
    represented = method.represent(method.backbone(torch.zeros(2, 3, 16, 16)))
    assert list(represented) == ["backbone", "projection", "instance", "class"]


@pytest.mark.parametrize(
    ("backbone", "options", "message"),
    [
        ("tiny_resnet", {}, "masks patches of a ViT, and tiny_resnet has no patches"),
        ("tiny_vit", {"mask_square": 6}, "mask_square: 6 must be a multiple of the 4-pixel patches of tiny_vit"),
        ("tiny_vit", {"image_size": 20, "mask_square": 8}, "divide the image size 20"),
    ],
)
def test_what_cannot_be_masked_is_refused_at_plan_time(backbone: str, options: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve_pretraining(
            method="opera_mim",
            backbone=backbone,
            dataset="digits",
            seed=0,
            options=options,
            recipe="digits-mim-vit",
        )


@pytest.mark.parametrize(
    ("backbone", "dataset", "recipe"),
    [("tiny_vit", "digits", "digits-mim-vit"), ("vit_small", "imagenet", "opera-mim-vit")],
)
def test_recipes(backbone: str, dataset: str, recipe: str) -> None:
    config = resolve_pretraining(method="opera_mim", backbone=backbone, dataset=dataset, seed=0, options={})
    assert config.recipe.id == recipe
    assert config.method_options["mask_ratio"] == 0.6
    like = resolve_pretraining(method="opera", backbone=backbone, dataset=dataset, seed=0, options={})
    ours, theirs = (c.model_dump(exclude={"method", "method_options", "recipe"}) for c in (config, like))
    assert ours == theirs, "a comparison with OPERA differs in the masked space alone"
    assert like.method_options.items() <= config.method_options.items()


class StoppedError(Exception):
    """Ends a run in the middle, as a kill would."""


def test_a_run_that_was_stopped_ends_with_the_same_bits_and_a_lower_loss(tmp_path: Path) -> None:
    config = mim_config(epochs=2)
    rows: list[dict[str, float]] = []
    run(config, tmp_path / "whole", rows)
    steps_per_epoch = len(rows) // 2
    first, second = rows[:steps_per_epoch], rows[steps_per_epoch:]
    assert second[-1]["masked_loss"] < 0.9 * first[0]["masked_loss"]

    def report(*, epoch: float, **_: object) -> None:
        if epoch > 1.3:
            raise StoppedError

    options = {"run_directory": tmp_path / "stopped", "data_root": None, "device": "cpu", "num_workers": 0}
    with pytest.raises(StoppedError):
        pretrain(config, report=report, **options)
    assert load_training_state(tmp_path / "stopped" / "checkpoints")["step"] == steps_per_epoch
    run(config, tmp_path / "stopped")
    for name in ("backbone.safetensors", "method.safetensors"):
        assert same_bits(tmp_path / "whole" / "checkpoints" / name, tmp_path / "stopped" / "checkpoints" / name)


def worker(rank: int, config: PretrainConfig, directory: Path) -> None:
    def report(*, epoch: float, total_epochs: float, values: dict[str, float]) -> None:
        with (directory / "losses.txt").open("a") as file:
            file.write(f"{values['masked_loss']}\n")

    pretrain(config, run_directory=directory, data_root=None, device="cpu", num_workers=0, report=report)


@pytest.mark.slow
def test_two_processes_hide_what_one_hides(tmp_path: Path) -> None:
    config = mim_config(epochs=1)
    one: list[dict[str, float]] = []
    run(config, tmp_path / "one", one)
    directory = tmp_path / "two"
    directory.mkdir()
    with running(2, worker, config, directory):
        pass
    two = [float(line) for line in (directory / "losses.txt").read_text().split()]
    assert two == pytest.approx([row["masked_loss"] for row in one], rel=2e-4)
    alone, together = (load_state(tmp_path / name / "checkpoints" / "method.safetensors")[0] for name in ("one", "two"))
    torch.testing.assert_close(together["masked_patches.token"], alone["masked_patches.token"], rtol=1e-2, atol=1e-4)
