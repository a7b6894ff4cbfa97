"""The frame's columns and what they hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd

import results
from results.frame import COLUMNS, to_frame
from tests.results.synthetic import CHECKPOINT, FINGERPRINT, evaluation, pretraining, write_run


def test_one_row_per_run_and_metric(tmp_path: Path) -> None:
    subject = pretraining(seed=3, changed=("epochs",))
    parent = write_run(tmp_path, subject, metrics={"loss": 1.5, "class_top1": 80.0})
    done = evaluation(subject, "transfer", dataset="mnist", epochs=7, version=2)
    run_id = write_run(tmp_path, done, metrics={"top1": 97.5}, parents=(parent,))
    write_run(tmp_path, evaluation(subject, "knn"), state="planned", parents=(parent,))
    frame = results.load(tmp_path)
    assert list(frame.columns) == list(COLUMNS)
    assert len(frame) == 4
    row = frame[frame["run_id"] == run_id].iloc[0].to_dict()
    expected = {
        "stage": "transfer",
        "state": "done",
        "reason": None,
        "seed": 3,
        "method": "opera",
        "preset": "official",
        "arrangement": "C",
        "mlp_layers": 2,
        "embedding_dimension": 256,
        "hidden_dimension": 256,
        "backbone": "tiny_vit",
        "global_batch_size": 128,
        "pretrain_epochs": 10,
        "pretrain_dataset": "digits",
        "pretrain_recipe": "tiny@1*",
        "protocol": "transfer",
        "dataset": "mnist",
        "finetune_epochs": 7,
        "protocol_recipe": "transfer-tiny@2",
        "metric": "top1",
        "value": 97.5,
        "fingerprint": FINGERPRINT,
        "checkpoint_sha256": CHECKPOINT,
        "images_per_second": 1000.0,
        "seconds": 12.5,
        "device": "cpu",
        "git_commit": "0" * 40,
    }
    assert {name: row[name] for name in expected} == expected


def test_pretrainings_have_no_protocol_and_unfinished_runs_no_metric(tmp_path: Path) -> None:
    write_run(tmp_path, pretraining("moco_v3"), metrics={"loss": 1.5})
    write_run(tmp_path, evaluation(pretraining("moco_v3")), state="failed")
    pretrain, linear = results.load(tmp_path).sort_values("stage", ascending=False).to_dict("records")
    assert pretrain["protocol"] is None
    assert pretrain["dataset"] == "digits"
    assert pretrain["checkpoint_sha256"] == CHECKPOINT
    assert pretrain["arrangement"] is None
    assert pd.isna(pretrain["mlp_layers"])
    assert linear["metric"] is None
    assert pd.isna(linear["value"])
    assert linear["reason"] == "loss is nan at step 7"


def test_a_setting_is_all_but_the_seed(tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path, evaluation(pretraining(seed=seed)))
    write_run(tmp_path, evaluation(pretraining(seed=0, temperature=0.1)))
    write_run(tmp_path, evaluation(pretraining(seed=0), weight_decay=0.1))
    assert sorted(results.load(tmp_path)["setting"].value_counts()) == [1, 1, 2]


def test_no_runs_make_an_empty_frame_of_the_same_types(tmp_path: Path) -> None:
    write_run(tmp_path, pretraining())
    empty = to_frame([])
    assert len(empty) == 0
    assert empty.dtypes.to_dict() == results.load(tmp_path).dtypes.to_dict()


def test_a_count_that_is_no_number_is_missing(tmp_path: Path) -> None:
    write_run(tmp_path, pretraining(mlp_layers="several"))
    assert results.load(tmp_path)["mlp_layers"].isna().all()


def test_reading_runs_imports_neither_torch_nor_pandas() -> None:
    code = (
        "import sys, results, results.store, results.tables, results.render; "
        "sys.exit(any(m in sys.modules for m in ('torch', 'pandas', 'rich', 'matplotlib')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
