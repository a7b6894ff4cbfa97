"""The paper's whole protocol as made-up runs, at its own scale and in miniature. Values are noise around a trend."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.results.synthetic import Config, evaluation, pretraining, write_run

DENSE_METRICS = {
    "segmentation": ("mIoU", "mAcc", "aAcc"),
    "detection": ("box_AP", "box_AP50", "box_AP75", "mask_AP", "mask_AP50", "mask_AP75"),
}


@dataclass(frozen=True)
class Scale:
    """What the paper's words are at one scale."""

    resnet: str
    small: str
    base: str
    dataset: str
    transfer: tuple[str, ...]
    scenes: tuple[str, str]
    batch_divisor: int
    epoch_divisor: int
    finetune_divisor: int
    linear_epochs: int
    embedding: int


PAPER = Scale(
    "resnet50",
    "vit_small",
    "vit_base",
    "imagenet",
    ("cifar10", "cifar100", "flowers102", "pets"),
    ("ade20k", "coco"),
    batch_divisor=1,
    epoch_divisor=1,
    finetune_divisor=1,
    linear_epochs=90,
    embedding=256,
)
TINY = Scale(
    "tiny_resnet",
    "tiny_vit",
    "tiny_vit_base",
    "digits",
    ("mnist5k",),
    ("digit_scenes", "digit_objects"),
    batch_divisor=16,
    epoch_divisor=25,
    finetune_divisor=50,
    linear_epochs=12,  # of the recipe linear-digits, which the tables' sweeps leave as it is
    embedding=64,
)


def write_paper_runs(
    runs: Path, scale: Scale, seeds: int = 1, *, similarity: bool = False, unfinished: bool = False
) -> None:
    """Every pretraining and evaluation of Tables 1 to 8 and Figures 4 to 8, all done unless some are ``unfinished``."""
    for seed in range(seeds):
        for subject, protocols in _subjects(scale, seed):
            parent = write_run(runs, subject, metrics=_metrics(subject, "pretrain"), progress=_curve(subject))
            for config in protocols:
                state = _state(config) if unfinished else "done"
                metrics = _metrics(config, config["protocol"])
                write_run(runs, config, state=state, metrics=metrics, parents=(parent,))
            if similarity:
                write_similarity(runs, subject, parent)


def _subjects(scale: Scale, seed: int) -> Iterator[tuple[Config, list[Config]]]:
    def made(
        method: str, backbone: str, epochs: int, batch: int, changed: tuple[str, ...] = (), **options: Any
    ) -> Config:
        main = {"embedding_dimension": scale.embedding} if method == "opera" else {}
        return pretraining(
            method,
            backbone,
            seed=seed,
            dataset=scale.dataset,
            epochs=max(1, round(epochs / scale.epoch_divisor)) if epochs else 0,
            global_batch_size=batch // scale.batch_divisor,
            changed=changed,
            **{**main, **options},
        )

    def judged(subject: Config, tuned: tuple[int, ...], linear: bool = True) -> list[Config]:
        backbone = subject["pretrain"]["backbone"]
        found = [evaluation(subject, "linear", epochs=scale.linear_epochs)] if linear else []
        found += [evaluation(subject, "finetune", epochs=round(e / scale.finetune_divisor)) for e in tuned]
        found += [
            evaluation(subject, "transfer", dataset=name, epochs=100 // scale.finetune_divisor)
            for name in scale.transfer
            if backbone != scale.base
        ]
        found.append(evaluation(subject, "segmentation", dataset=scale.scenes[0]))
        if backbone == scale.resnet:
            found += [
                evaluation(subject, "detection", dataset=scale.scenes[1], schedule=schedule)
                for schedule in ("1x", "2x")
            ]
        return [_without_epochs(config) for config in found]

    tuned = {scale.resnet: (), scale.small: (100, 150, 200), scale.base: (150,)}
    yield (untrained := made("random_init", scale.resnet, 0, 1024)), judged(untrained, (), linear=False)
    for backbone in (scale.resnet, scale.small, scale.base):
        supervised = made("supervised", backbone, 300, 1024)
        yield supervised, judged(supervised, (), linear=False)
        for batch in (1024, 4096) if backbone != scale.base else (1024, 2048, 4096):
            for method, epochs in (("moco_v3", 300), ("opera", 150), ("opera", 300)):
                subject = made(method, backbone, epochs, batch)
                yield subject, judged(subject, tuned[backbone])
    for method in ("supervised", "supervised_mlp", "opera"):
        subject = made(method, scale.small, 100, 1024)
        yield subject, judged(subject, (100,), linear=False)
    for epochs in (50, 200):
        yield (subject := made("opera", scale.small, epochs, 1024)), judged(subject, (100,), linear=False)
    ablations: list[tuple[str, list[Any], int]] = [
        ("arrangement", ["A", "B"], 100),
        ("mlp_layers", [1, 3, 4, 5], 150),
        ("embedding_dimension", [scale.embedding // 2, scale.embedding * 2, scale.embedding * 4], 150),
        ("hidden_dimension", [128, 512, 1024], 150),
    ]
    for field, values, epochs in ablations:
        for value in values:
            subject = made("opera", scale.small, epochs, 1024, (field,), **{field: value})
            yield subject, judged(subject, (100,), linear=False)


def _state(config: Config) -> str:
    """One in eight is not done, in each of the ways there are."""
    states = ("failed", "running", "planned", "cancelled", "unknown")
    number = zlib.crc32(json.dumps(config, sort_keys=True).encode())
    return states[number // 8 % len(states)] if number % 8 == 0 else "done"


def _without_epochs(config: Config) -> Config:
    """A dense evaluation is as long as its schedule says; it has no epochs of its own."""
    if config["protocol"] in DENSE_METRICS:
        config["evaluator"].pop("epochs")
    return config


def _metrics(config: Config, stage: str) -> dict[str, float]:
    pretrain = config["pretrain"]
    noise = zlib.crc32(json.dumps([config, stage], sort_keys=True).encode()) % 1000 / 500 - 1
    trend = {"random_init": -20.0, "supervised": -1.0, "supervised_mlp": -0.5, "moco_v3": 0.0}.get(
        pretrain["method"], 1.5
    )
    trend += pretrain["epochs"] ** 0.5 / 10 + noise
    if stage == "pretrain":
        supervised = pretrain["method"] == "supervised"
        return {"loss": 2 - trend / 10, **({"top1": 78 + trend, "top5": 94 + trend / 4} if supervised else {})}
    base = {"segmentation": 42.0, "detection": 38.0}.get(stage, 78.0)
    names = DENSE_METRICS.get(stage, ("top1", "top5"))
    return {name: round(base + trend + 5 * place, 2) for place, name in enumerate(names)}


def _curve(config: Config) -> list[dict[str, float]]:
    epochs = config["pretrain"]["epochs"]
    points = [epochs * step / 20 for step in range(1, 21)] if epochs else []
    losses = [{"epoch": epoch, "total_epochs": epochs, "loss": 4.0 / (1 + epoch)} for epoch in points]
    seen = {"total_epochs": epochs, "knn_top1": 60.0, "recall_at_1": 50.0}
    return [*losses, *({"epoch": epoch, **seen} for epoch in points[9::10])]


def write_similarity(runs: Path, subject: Config, parent: str) -> None:
    spaces = {
        "opera": ("backbone", "projection", "instance", "class"),
        "moco_v3": ("backbone", "projection", "instance"),
    }
    edges = [step / 20 - 1 for step in range(41)]
    centres = {"view": 0.85, "same_class": 0.5, "different_class": 0.05}
    found = spaces.get(subject["pretrain"]["method"], ("backbone", "class"))
    counts = {
        space: {
            kind: [round(1000 * 2 ** (-(((edge + 0.025 - centre) / (0.1 + 0.05 * place)) ** 2))) for edge in edges[:-1]]
            for kind, centre in centres.items()
        }
        for place, space in enumerate(found)
    }
    metrics = {f"{space}_{kind}_cosine": centre for space in found for kind, centre in centres.items()}
    config = _without_similarity_epochs(evaluation(subject, "similarity"))
    run_id = write_run(runs, config, metrics=metrics, parents=(parent,))
    (runs / run_id / "artifacts").mkdir()
    artifact = runs / run_id / "artifacts" / "similarity.json"
    artifact.write_text(json.dumps({"edges": edges, "counts": counts}), encoding="utf-8")


def _without_similarity_epochs(config: Config) -> Config:
    config["evaluator"].pop("epochs")
    return config
