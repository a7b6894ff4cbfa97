"""View settings: impossible ranges get one sentence; reading them loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from pretrain.config import ViewConfig
from pretrain.views.finetuning import TrainAugmentationConfig


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop_scale": (0.0, 1.0)}, "crop_scale Value error, must be"),
        ({"crop_scale": (0.9, 0.2)}, "crop_scale Value error, must be"),
        ({"crop_scale": (0.2, 1.1)}, "crop_scale Value error, must be"),
        ({"crop_ratio": (2.0, 1.0)}, "crop_ratio Value error, must be"),
        ({"blur_sigma": (0.0, 1.0)}, "blur_sigma Value error, must be"),
        ({"blur_sigma": (2.0, 1.0)}, "blur_sigma Value error, must be"),
        ({"color_jitter": (-0.1, 0.4, 0.2, 0.1)}, "color_jitter Value error, must be"),
        ({"color_jitter": (0.4, 0.4, 0.2, 0.6)}, "color_jitter Value error, must be"),
        ({"crop_scale": (float("nan"), 1.0)}, "crop_scale Input should be a finite number"),
    ],
)
def test_an_impossible_view_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        ViewConfig(**({"crop_scale": (0.2, 1.0)} | changes))
    (problem,) = raised.value.errors()
    assert f"{problem['loc'][0]} {problem['msg']}".startswith(message)


def test_possible_views_pass() -> None:
    ViewConfig(crop_scale=(0.08, 1.0))
    ViewConfig(crop_scale=(1.0, 1.0), color_jitter=(0.4, 0.4, 0.2, 0.5), blur_sigma=(1.0, 1.0))


def test_the_training_transforms_crop_is_checked_too() -> None:
    with pytest.raises(ValidationError, match=r"crop_scale\n\s+Value error, must be"):
        TrainAugmentationConfig(crop_scale=(0.5, 0.1))


def test_plan_time_loads_no_torch() -> None:
    code = "import sys, pretrain.views.finetuning; print({'torch', 'torchvision', 'timm'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_settings_of_other_papers_are_written_only_where_they_are_on() -> None:
    """What is written makes the ids of runs, and those of runs without these settings stay."""
    plain = ViewConfig(crop_scale=(0.2, 1.0))
    assert not {"adds_brightness", "grayscale_first"} & plain.model_dump(mode="json").keys()
    changed = plain.model_copy(update={"adds_brightness": True, "grayscale_first": True})
    written = changed.model_dump(mode="json")
    assert written == plain.model_dump(mode="json") | {"adds_brightness": True, "grayscale_first": True}
    assert ViewConfig.model_validate(written) == changed
    assert ViewConfig.model_validate(plain.model_dump(mode="json")) == plain
