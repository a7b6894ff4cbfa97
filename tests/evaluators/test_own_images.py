"""Recipes on own images, and every classification protocol on a checkpoint file with one command."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluators.lookup import resolve_evaluation
from pretrain.resolve import resolve_pretraining
from tests.pretrain.datasets.writers import write_noise

PROTOCOLS = ("knn", "similarity", "finetune", "linear", "transfer")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for label, name in enumerate(("cat", "dog")):
        for index in range(15):
            write_noise(tmp_path / "mine" / name / f"{index}.png", seed=100 * label + index)
    return tmp_path / "mine"


@pytest.mark.parametrize(
    ("backbone", "pretraining", "recipes"),
    [
        (
            "vit_small",
            "mocov3-vit",
            ["knn-imagenet", "similarity-imagenet", "finetune-deit", "linear-vit", "transfer-pets"],
        ),
        ("resnet50", "mocov3-r50", ["knn-imagenet", "similarity-imagenet", None, "linear-r50", "transfer-r50"]),
        (
            "tiny_vit",
            "digits-contrastive-vit",
            ["knn-digits", "similarity-imagenet", "finetune-digits", "linear-digits", "transfer-digits"],
        ),
    ],
)
def test_own_images_take_the_recipes_of_imagenet_pets_or_digits(images, backbone, pretraining, recipes) -> None:
    roots = {"folder": images}
    subject = resolve_pretraining(
        method="moco_v3", backbone=backbone, dataset="folder", seed=0, options={}, roots=roots
    )
    assert subject.recipe.id == pretraining
    assert subject.global_batch_size == 16
    assert "global_batch_size" in subject.recipe.changed
    for protocol, recipe in zip(PROTOCOLS, recipes, strict=True):
        if recipe is None:
            continue
        config = resolve_evaluation(protocol, subject=subject, options={}, roots=roots)
        assert config.recipe.id == recipe
        assert config.dataset_version == subject.dataset_version
        assert getattr(config, "global_batch_size", 16) == 16
        assert getattr(config, "repeated_augmentations", 1) == 1


def test_a_batch_that_the_user_names_stays(images) -> None:
    options = {"global_batch_size": 4}
    subject = resolve_pretraining(
        method="moco_v3", backbone="vit_small", dataset="folder", seed=0, options=options, roots={"folder": images}
    )
    assert subject.global_batch_size == 4


def test_one_command_runs_every_protocol_on_a_file(command, images, tmp_path, monkeypatch) -> None:
    import torch

    from pretrain.backbones.lookup import find_backbone
    from pretrain.checkpoint import save_checkpoint
    from pretrain.foreign.parts.conversion import IMAGENET
    from results.frame import to_frame
    from results.store import load_runs

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    info = find_backbone("tiny_vit").INFO
    torch.manual_seed(0)
    facts = {
        "role": "backbone",
        "backbone": "tiny_vit",
        "num_heads": info.num_heads,
        "position_embedding": info.position_embedding,
        "image_size": 16,
        "normalisation": IMAGENET,
        "method": "simclr",
        "epochs": 30,
        "run_id": "elsewhere",
    }
    file = tmp_path / "own" / "backbone.safetensors"
    save_checkpoint(file, find_backbone("tiny_vit").build(16).state_dict(), facts)

    runs, again = tmp_path / "runs", ("--data", images, "--runs", tmp_path / "runs", "--device", "cpu")
    ended = command("evaluate", "all", file, *again, "--set", "linear.epochs=2")
    assert ended.status == 0, ended.out + ended.err
    assert "recorded as: method simclr, backbone tiny_vit, epochs 30, dataset imagenet, batch_size unknown" in ended.err
    for protocol in PROTOCOLS:
        assert any(line.startswith(protocol) for line in ended.out.splitlines()), ended.out
    frame = to_frame(load_runs(runs).runs)
    assert set(frame["protocol"].dropna()) == set(PROTOCOLS)
    assert set(frame[frame["protocol"].notna()]["dataset"]) == {"folder"}
    assert len(list(runs.glob("import-*"))) == 1

    alone = command("evaluate", "knn", file, *again)
    assert (alone.status, alone.out.splitlines()[0] in ended.out) == (0, True)
    assert len(list(runs.glob("knn-*"))) == 1
    ended = command("evaluate", "all", file, *again, "--set", "epochs=2")
    assert (ended.status, "linear.epochs=5" in ended.err) == (2, True)
