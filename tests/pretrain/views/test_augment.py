"""Batch augmentation against torchvision applied image by image, against PIL, and against its own seam."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter, ImageOps
from scipy.stats import chisquare, kstest
from torchvision.transforms import functional as tv1
from torchvision.transforms.v2 import functional as tv

from pretrain.config import Normalisation, ViewConfig
from pretrain.views import color
from pretrain.views.augment import AugmentParameters, augment, draw_parameters

IMAGENET = Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
IDENTITY = Normalisation(mean=(0, 0, 0), std=(1, 1, 1))
PLAIN = ViewConfig(crop_scale=(0.2, 1), flip_probability=0)
BUSY = ViewConfig(
    crop_scale=(0.2, 1),
    color_jitter=(0.4, 0.4, 0.2, 0.1),
    color_jitter_probability=0.8,
    grayscale_probability=0.3,
    blur_probability=0.5,
    solarize_probability=0.5,
    flip_probability=0.5,
)
STRONG = BUSY.model_copy(update={"color_jitter": (0.9, 0.9, 0.9, 0.5), "color_jitter_probability": 1.0})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int, size: int = 20, seed: int = 0) -> torch.Tensor:
    """Noise, with plain black, white, gray and primary images among it, where hue has no or equal maxima."""
    batch = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator(seed))
    colours = [(0, 0, 0), (255, 255, 255), (77, 77, 77), (255, 0, 0), (0, 255, 255), (128, 128, 3)]
    for row, colour in enumerate(colours[: count // 2]):
        batch[row] = torch.tensor(colour, dtype=torch.uint8)[:, None, None]
    return batch


def one_by_one(
    batch: torch.Tensor, parameters: AugmentParameters, radius: int, normalisation: Normalisation, view: ViewConfig
) -> torch.Tensor:
    """What ``augment`` must give, by torchvision's functions on one image at a time."""
    done = []
    for row, image in enumerate(tv.to_dtype(batch, torch.float32, scale=True)):
        p = parameters.rows(row, row + 1)
        if p.grayscale and view.grayscale_first:
            image = tv.rgb_to_grayscale(image, num_output_channels=3)
        if p.jitter:
            for operation in p.jitter_order[0].tolist():
                if operation == color.BRIGHTNESS and view.adds_brightness:
                    image = (image + p.brightness.item()).clamp(0, 1)
                elif operation == color.BRIGHTNESS:
                    image = tv.adjust_brightness(image, p.brightness.item())
                elif operation == color.CONTRAST:
                    image = tv.adjust_contrast(image, p.contrast.item())
                elif operation == color.SATURATION:
                    image = tv.adjust_saturation(image, p.saturation.item())
                else:
                    image = tv.adjust_hue(image, p.hue.item())
        if p.grayscale and not view.grayscale_first:
            image = tv.rgb_to_grayscale(image, num_output_channels=3)
        if p.blur:
            image = tv.gaussian_blur(image, [2 * radius + 1] * 2, [p.blur_sigma.item()] * 2)
        if p.solarize:
            image = tv.solarize(image, 127.5 / 255)
        if p.flip:
            image = tv.horizontal_flip(image)
        done.append(tv.normalize(image, list(normalisation.mean), list(normalisation.std)))
    return torch.stack(done)


GRAY_FIRST = STRONG.model_copy(update={"grayscale_first": True})
ADDED = STRONG.model_copy(update={"adds_brightness": True})


@pytest.mark.parametrize("view", [BUSY, STRONG, GRAY_FIRST, ADDED], ids=["moco", "strong", "moco-v1", "byol"])
def test_equals_torchvision_image_by_image(view: ViewConfig) -> None:
    batch, parameters = images(96), draw_parameters(view, 96, generator(3))
    found = augment(batch, parameters, view, IDENTITY)
    torch.testing.assert_close(found, one_by_one(batch, parameters, 6, IDENTITY, view), atol=1e-5, rtol=0)
    normalised = augment(batch, parameters, view, IMAGENET)
    torch.testing.assert_close(normalised, one_by_one(batch, parameters, 6, IMAGENET, view), atol=1e-4, rtol=0)


@pytest.mark.parametrize("operation", [color.BRIGHTNESS, color.CONTRAST, color.SATURATION, color.HUE])
def test_each_jitter_operation_alone_equals_torchvisions(operation: int) -> None:
    batch = images(48)
    strengths = [0.0, 0.0, 0.0, 0.0]
    strengths[operation] = 0.5
    view = PLAIN.model_copy(update={"color_jitter": tuple(strengths), "color_jitter_probability": 1.0})
    parameters = draw_parameters(view, 48, generator(1))
    found = augment(batch, parameters, view, IDENTITY)
    torch.testing.assert_close(found, one_by_one(batch, parameters, 6, IDENTITY, view), atol=2e-6, rtol=0)
    assert not torch.equal(found, batch / 255)


def as_pil(image: torch.Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).numpy())


def single(mask: str, **values: float) -> AugmentParameters:
    """Parameters of one sample with one thing switched on."""
    base = draw_parameters(PLAIN, 1, generator())
    return dataclasses.replace(
        base, **{mask: torch.tensor([True])}, **{key: torch.tensor([value]) for key, value in values.items()}
    )


def test_solarize_equals_pil_exactly() -> None:
    ramp = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    found = augment(ramp, single("solarize"), PLAIN, IDENTITY)[0].mul(255).round().to(torch.uint8)
    assert torch.equal(found, tv1.pil_to_tensor(ImageOps.solarize(as_pil(ramp[0]), 128)))


def test_grayscale_is_pils_within_quantisation() -> None:
    batch = images(2)[1:]
    found = augment(batch, single("grayscale"), PLAIN, IDENTITY)[0]
    expected = tv1.to_tensor(as_pil(batch[0]).convert("L").convert("RGB"))
    torch.testing.assert_close(found, expected, atol=1.1 / 255, rtol=0)


@pytest.mark.parametrize(
    ("name", "value", "levels"),
    [("brightness", 1.4, 1.01), ("contrast", 0.6, 2.01), ("saturation", 1.2, 2.01), ("hue", 0.1, 14.0)],
)
def test_jitter_is_pils_within_quantisation(name: str, value: float, levels: float) -> None:
    """PIL rounds to uint8 and, for hue, to 256 steps of H, each worth six levels."""
    batch = images(2)[1:]
    others = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}
    found = augment(batch, single("jitter", **(others | {name: value})), PLAIN, IDENTITY)[0]
    expected = tv1.to_tensor(getattr(tv1, f"adjust_{name}")(as_pil(batch[0]), value))
    torch.testing.assert_close(found, expected, atol=levels / 255, rtol=0)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_blur_is_near_an_unbounded_gaussian_and_near_pils(sigma: float) -> None:
    batch = images(2, size=64)[1:]
    found = augment(batch, single("blur", blur_sigma=sigma), PLAIN, IDENTITY)[0]
    wide = tv.gaussian_blur(batch[0] / 255, [49, 49], [sigma, sigma])
    torch.testing.assert_close(found, wide, atol=0.5 / 255, rtol=0)
    # PIL approximates the Gaussian by boxes and repeats the border's pixels.
    inner = slice(8, -8)
    pil = tv1.to_tensor(as_pil(batch[0]).filter(ImageFilter.GaussianBlur(sigma)))
    torch.testing.assert_close(found[:, inner, inner], pil[:, inner, inner], atol=6 / 255, rtol=0)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_blur_fits_images_smaller_than_its_kernel(size: int) -> None:
    flat = torch.full((2, 3, size, size), 51, dtype=torch.uint8)
    view = PLAIN.model_copy(update={"blur_probability": 1.0})
    found = augment(flat, draw_parameters(view, 2, generator()), view, IDENTITY)
    torch.testing.assert_close(found, torch.full_like(found, 0.2))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.data())
def test_a_process_taking_its_rows_sees_the_whole_batchs_numbers(count: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, count - 1))
    stop = data.draw(st.integers(start + 1, count))
    batch, parameters = images(count, size=12), draw_parameters(STRONG, count, generator(count))
    whole = augment(batch, parameters, STRONG, IMAGENET)
    part = augment(batch[start:stop], parameters.rows(start, stop), STRONG, IMAGENET)
    assert torch.equal(part, whole[start:stop])


def test_memory_format_is_kept_and_changes_no_number() -> None:
    batch, parameters = images(16), draw_parameters(STRONG, 16, generator())
    plain = augment(batch, parameters, STRONG, IMAGENET)
    last = augment(batch.to(memory_format=torch.channels_last), parameters, STRONG, IMAGENET)
    assert last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last, plain, atol=1e-5, rtol=0)


def test_input_is_left_unchanged_and_repetition_is_exact() -> None:
    batch, parameters = images(16), draw_parameters(BUSY, 16, generator())
    before = batch.clone()
    first = augment(batch, parameters, BUSY, IMAGENET)
    assert torch.equal(batch, before)
    assert torch.equal(first, augment(batch, parameters.to("cpu"), BUSY, IMAGENET))


def test_nothing_on_is_normalisation_alone() -> None:
    batch = images(8)
    found = augment(batch, draw_parameters(PLAIN, 8, generator()), PLAIN, IMAGENET)
    mean, std = (np.array(values).reshape(3, 1, 1) for values in (IMAGENET.mean, IMAGENET.std))
    np.testing.assert_allclose(found.numpy(), (batch.numpy() / 255 - mean) / std, atol=1e-6)


def test_draws_follow_their_distributions() -> None:
    count = 12000
    p = draw_parameters(BUSY, count, generator(5))
    for mask, probability in {
        "jitter": 0.8, "grayscale": 0.3, "blur": 0.5, "solarize": 0.5, "flip": 0.5
    }.items():  # fmt: skip
        assert getattr(p, mask).double().mean().item() == pytest.approx(probability, abs=0.02), mask
    for name, low, high in [
        ("brightness", 0.6, 1.4), ("contrast", 0.6, 1.4), ("saturation", 0.8, 1.2), ("hue", -0.1, 0.1),
        ("blur_sigma", 0.1, 2.0),
    ]:  # fmt: skip
        assert kstest(getattr(p, name).numpy(), "uniform", args=(low, high - low)).pvalue > 0.01, name
    orders, counts = np.unique(p.jitter_order.numpy(), axis=0, return_counts=True)
    assert len(orders) == 24
    assert chisquare(counts).pvalue > 0.01
    assert abs(np.corrcoef(p.brightness, p.contrast)[0, 1]) < 0.03


def test_a_strength_above_one_is_cut_at_zero() -> None:
    view = BUSY.model_copy(update={"color_jitter": (1.5, 0, 0, 0)})
    brightness = draw_parameters(view, 4000, generator()).brightness
    assert kstest(brightness.numpy(), "uniform", args=(0, 2.5)).pvalue > 0.01


def test_added_brightness_is_drawn_around_zero_and_changes_no_other_draw() -> None:
    plain, added = (draw_parameters(view, 4000, generator()) for view in (STRONG, ADDED))
    assert kstest(added.brightness.numpy(), "uniform", args=(-0.9, 1.8)).pvalue > 0.01
    for field in dataclasses.fields(plain):
        if field.name != "brightness":
            assert torch.equal(getattr(plain, field.name), getattr(added, field.name)), field.name


def test_grayscale_before_the_jitter_is_another_image() -> None:
    parameters = draw_parameters(STRONG, 64, generator())
    first, last = (augment(images(64), parameters, view, IDENTITY) for view in (GRAY_FIRST, STRONG))
    gray = parameters.grayscale
    assert torch.equal(first[~gray], last[~gray])
    assert not torch.allclose(first[gray], last[gray], atol=1e-3)


def test_probabilities_zero_and_one_are_certain() -> None:
    always = STRONG.model_copy(
        update={f"{name}_probability": 1.0 for name in ("grayscale", "blur", "solarize", "flip")}
    )
    for mask in ("jitter", "grayscale", "blur", "solarize", "flip"):
        assert getattr(draw_parameters(always, 1000, generator()), mask).all()
        assert not getattr(draw_parameters(PLAIN, 1000, generator()), mask).any()


def test_turning_one_operation_off_changes_no_other() -> None:
    full = draw_parameters(BUSY, 32, generator(2))
    off = draw_parameters(BUSY.model_copy(update={"color_jitter": None, "blur_probability": 0.0}), 32, generator(2))
    for name in ("grayscale", "solarize", "flip", "blur_sigma", "jitter_order"):
        assert torch.equal(getattr(full, name), getattr(off, name)), name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("where", ["cpu", "cuda"])
def test_a_gpu_gives_the_cpus_numbers(where: str) -> None:
    batch, parameters = images(32), draw_parameters(STRONG, 32, generator())
    found = augment(batch.cuda(), parameters.to(where), STRONG, IDENTITY).cpu()
    torch.testing.assert_close(found, augment(batch, parameters, STRONG, IDENTITY), atol=1e-5, rtol=0)
