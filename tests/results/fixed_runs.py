"""The runs behind the golden tables: every state a cell can be in, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.results.synthetic import evaluation, pretraining, write_run

OTHER_DATA = "ab" * 32


def write_fixed_runs(runs: Path) -> None:
    _write_digits(runs)
    _write_table1(runs)


def _write_digits(runs: Path) -> None:
    for seed in range(3):
        untrained = pretraining("random_init", seed=seed, epochs=0)
        parent = (write_run(runs, untrained, metrics={}),)
        for number, protocol in enumerate(("linear", "finetune", "transfer")):
            metrics = {"top1": 80 + number + seed / 2, "top5": 99.0}
            write_run(runs, evaluation(untrained, protocol), metrics=metrics, parents=parent)
        write_run(runs, evaluation(untrained, "knn"), metrics={"knn_top1": 60.0, "recall_at_1": 59.5 + seed})

        supervised = pretraining("supervised", seed=seed)
        state = ("done", "running", "unknown")[seed]
        parent = (write_run(runs, supervised, state=state),)
        write_run(runs, evaluation(supervised, "linear"), metrics={"top1": 95.0}, parents=parent)
        state = ("failed", "running", "planned")[seed]
        write_run(runs, evaluation(supervised, "finetune"), state=state)
        write_run(runs, evaluation(supervised, "knn"), state="planned", parents=("pretrain-not-there",))
        write_run(runs, evaluation(supervised, "transfer"), state="unknown")

        moco = pretraining("moco_v3", seed=seed)
        state = "failed" if seed == 1 else "done"
        write_run(runs, evaluation(moco, "linear"), state=state, metrics={"top1": 92 + seed / 3})
        fingerprint: dict[str, Any] = {"fingerprint": OTHER_DATA} if seed == 1 else {}
        write_run(runs, evaluation(moco, "finetune"), metrics={"top1": 93.0}, **fingerprint)
        changed = ("temperature",) if seed == 2 else ()
        metrics = {"knn_top1": 70.0, "recall_at_1": 71.0}
        write_run(runs, evaluation(moco, "knn", changed=changed), metrics=metrics)

        opera = pretraining("opera", seed=seed)
        parent = (write_run(runs, opera, state="failed", error="loss is nan <batch 3> & 100% of it"),)
        for protocol in ("linear", "finetune", "knn", "transfer"):
            write_run(runs, evaluation(opera, protocol), state="planned", parents=parent)
        other = pretraining("opera", seed=seed, arrangement="A", changed=("arrangement",))
        write_run(runs, evaluation(other, "linear"), metrics={"top1": 97.125 + seed})
        write_run(runs, evaluation(pretraining("moco_v3", "tiny_resnet", seed=seed), "knn"), state="cancelled")
    write_run(runs, evaluation(pretraining("moco_v3"), "transfer"), metrics={"top1": 88.25})
    opera_resnet = pretraining("opera", "tiny_resnet", changed=("epochs",))
    write_run(runs, evaluation(opera_resnet, "knn", changed=("k",)), metrics={"knn_top1": 75.0})


def _write_table1(runs: Path) -> None:
    imagenet: dict[str, Any] = {"dataset": "imagenet", "global_batch_size": 1024}
    for seed, top1 in enumerate((73.4, 73.9, 73.8)):
        opera = pretraining("opera", "resnet50", seed=seed, epochs=150, recipe_id="mocov3-r50", **imagenet)
        metrics = {"top1": top1, "top5": 91.2 + seed / 7}
        write_run(runs, evaluation(opera, epochs=90, recipe_id="linear-r50"), metrics=metrics)
    deeper = pretraining("opera", "resnet50", epochs=150, mlp_layers=3, **imagenet)
    write_run(runs, evaluation(deeper, epochs=90, recipe_id="linear-r50"), metrics={"top1": 1.0})
    moco = pretraining("moco_v3", "resnet50", epochs=300, recipe_id="mocov3-r50", **imagenet)
    write_run(runs, evaluation(moco, epochs=90, recipe_id="linear-r50"), metrics={"top1": 72.8})
    small = pretraining("opera", "vit_small", epochs=300, recipe_id="mocov3-vit", **imagenet)
    write_run(runs, evaluation(small, epochs=90, recipe_id="linear-vit"), state="running")
