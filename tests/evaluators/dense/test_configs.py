"""What is handed to the libraries. ``python -m tests.evaluators.dense.test_configs`` renews the golden files."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluators.dense.library import versions
from evaluators.lookup import resolve_evaluation
from pretrain.checkpoint import CheckpointHeader
from pretrain.config import Normalisation
from pretrain.errors import InputError
from tests.evaluators.conftest import subject
from tests.evaluators.dense.scenes import configured
from tests.evaluators.dense.stack import needs

GOLDEN = Path(__file__).parents[2] / "golden" / "dense"
IMAGENET = Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def published_header(backbone: str) -> CheckpointHeader:
    return CheckpointHeader(
        role="backbone", backbone=backbone, num_heads=None, position_embedding=None, image_size=224,
        normalisation=IMAGENET, method="opera", epochs=300, run_id="pretrain-golden", sha256="0" * 64,
    )  # fmt: skip


GOLDEN_CONFIGS = {
    "segmentation-r50": ("segmentation", "resnet50", {}),
    "segmentation-vit-paper": ("segmentation", "vit_small", {"test_mode": "slide"}),
    "segmentation-vit-zoo": ("segmentation", "vit_small", {"preset": "zoo"}),
    "detection-r50": ("detection", "resnet50", {"schedule": "2x"}),
    "detection-r50-zoo": ("detection", "resnet50", {"preset": "zoo"}),
}


@needs("mmdet")
def test_the_zoos_vit_decays_what_mmsegmentation_decays() -> None:
    """By role, since the names differ: the zoo's key ``norm`` matches none of MMSegmentation's."""
    from mmseg.models.backbones import VisionTransformer

    from evaluators.dense.common import base_config
    from evaluators.dense.library import config_file
    from evaluators.dense.segmenter import BASES
    from pretrain.backbones.lookup import find_backbone
    from pretrain.foreign.mmseg_vit import our_name

    keys = base_config(config_file("mmseg", BASES["upernet"]))["optim_wrapper"]["paramwise_cfg"]["custom_keys"]
    theirs = VisionTransformer(img_size=32, embed_dims=24, num_layers=2, num_heads=2, patch_bias=True, final_norm=True)
    undecayed = {our_name(name) for name, _ in theirs.named_parameters() if any(key in name for key in keys)}
    config = resolve_evaluation(
        "segmentation", subject=subject("vit_small", dataset="imagenet"), options={"preset": "zoo"}
    )
    ours = [name for name, _ in find_backbone("vit_small").build(32).named_parameters()]
    assert {name for name in ours if any(key in name for key in config.optimizer.undecayed)} == undecayed


def golden_text(name: str) -> str:
    from evaluators.dense.config import Machine, config_text
    from evaluators.dense.operators import ensure_operators

    ensure_operators()
    evaluator, backbone, options = GOLDEN_CONFIGS[name]
    config = resolve_evaluation(evaluator, subject=subject(backbone, dataset="imagenet"), options=options)
    assert config.recipe.id == name
    if evaluator == "segmentation":
        from evaluators.dense.segmenter import library_config
    else:
        from evaluators.dense.detector import library_config
    header = published_header(backbone)
    installed = ", ".join(f"{package} {number}" for package, number in versions().items())
    return f"# {installed}\n{config_text(library_config(config, header, Machine()))}"


@needs("mmdet")
@pytest.mark.parametrize("name", GOLDEN_CONFIGS)
def test_the_published_configurations(name: str) -> None:
    golden = (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
    found = golden_text(name)
    if found.splitlines()[0] != golden.splitlines()[0]:
        pytest.skip(f"written for {golden.splitlines()[0]}, installed is {found.splitlines()[0]}")
    assert found == golden


@needs("mmseg")
def test_the_rate_follows_the_global_batch_and_the_shape_of_the_work_does_not_follow_the_machine() -> None:
    from evaluators.dense.config import Machine
    from evaluators.dense.segmenter import library_config

    config = configured("segmentation", "tiny_resnet", global_batch_size=32)
    header = published_header("tiny_resnet")
    alone, shared = (library_config(config, header, Machine(world_size=size)) for size in (1, 4))
    assert alone["optim_wrapper"]["optimizer"]["lr"] == pytest.approx(4 * config.optimizer.base_learning_rate)
    assert (alone["train_dataloader"]["batch_size"], shared["train_dataloader"]["batch_size"]) == (32, 8)
    shared["train_dataloader"]["batch_size"] = 32
    assert alone == shared
    with pytest.raises(InputError, match="32 can't be shared evenly by 5 processes"):
        library_config(config, header, Machine(world_size=5))


if __name__ == "__main__":
    for golden_name in GOLDEN_CONFIGS:
        (GOLDEN / f"{golden_name}.txt").write_text(golden_text(golden_name), encoding="utf-8")
