"""What a sweep declares of a foreign file, against what the file says."""

from __future__ import annotations

from typing import Any

import pytest

from pretrain.checkpoint import CheckpointHeader
from pretrain.errors import InputError
from pretrain.foreign.parts.conversion import IMAGENET, Checkpoint, refuse_contradictions


def checkpoint(method: str, epochs: int | None, format_name: str) -> Checkpoint:
    header = CheckpointHeader(
        role="backbone",
        backbone="resnet50",
        num_heads=None,
        position_embedding=None,
        image_size=224,
        normalisation=IMAGENET,
        method=method,
        epochs=epochs,
        run_id="test",
        sha256="0" * 64,
    )
    return Checkpoint(header, {}, format=format_name)


def declared(method: str, epochs: int) -> dict[str, Any]:
    return {"backbone": "resnet50", "method": method, "epochs": epochs}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (("moco_v3", 300, "moco_v3"), ("moco_v3", 300)),
        (("moco_v3", 300, "moco_v3"), ("moco_v3_official", 300)),
        (("unknown", None, "torchvision"), ("supervised", 90)),
        (("unknown", 89, "torchvision"), ("supervised", 90)),
        (("unknown", 90, "torchvision"), ("supervised", 90)),
    ],
)
def test_what_the_file_leaves_open_the_user_may_say(found: tuple[Any, ...], said: tuple[str, int]) -> None:
    refuse_contradictions(checkpoint(*found), declared(*said))


@pytest.mark.parametrize(
    ("found", "said", "complaint"),
    [
        (("moco_v3", 300, "moco_v3"), ("moco_v3", 299), "300 epochs, but the sweep says 299"),
        (("moco_v3", 299, "moco_v3"), ("moco_v3", 300), "299 epochs, but the sweep says 300"),
        (("unknown", 300, "timm"), ("supervised", 100), "300 epochs, but the sweep says 100"),
        (("opera", 300, "opera"), ("moco_v3", 300), "trained with opera, but the sweep says moco_v3"),
    ],
)
def test_a_contradiction_names_both(found: tuple[Any, ...], said: tuple[str, int], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        refuse_contradictions(checkpoint(*found), declared(*said))
