"""The frame's columns and what they hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd

import results
from results.columns import COLUMNS
from results.frame import to_frame
from tests.results.synthetic import CHECKPOINT, FINGERPRINT, evaluation, pretraining, write_run


def test_one_row_per_run_and_metric(tmp_path: Path) -> None:
    subject = pretraining(seed=3, changed=("epochs",))
    parent = write_run(tmp_path, subject, metrics={"loss": 1.5, "class_top1": 80.0})
    done = evaluation(subject, "transfer", dataset="mnist", epochs=7, version=2)
    run_id = write_run(tmp_path, done, metrics={"top1": 97.5}, parents=(parent,))
    write_run(tmp_path, evaluation(subject, "knn"), state="planned", parents=(parent,))
    frame = results.load(tmp_path)
    assert list(frame.columns)[: len(COLUMNS)] == list(COLUMNS)
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
    assert "arrangement" not in pretrain, "no run has this option"
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
    assert empty.dtypes.to_dict() == results.load(tmp_path)[list(COLUMNS)].dtypes.to_dict()


def test_an_odd_value_does_not_make_the_frame_fail(tmp_path: Path) -> None:
    write_run(tmp_path, pretraining(epochs="several", mlp_layers="several"))
    write_run(tmp_path, pretraining(epochs=10**30, mlp_layers=10**30))
    frame = results.load(tmp_path)
    assert frame["pretrain_epochs"].isna().all(), "the declared column holds counts"
    assert set(frame["mlp_layers"]) == {"several", 10**30}


def test_every_setting_of_a_run_is_a_column(tmp_path: Path) -> None:
    """Options that nobody listed: of a method, of an evaluator, of a pretraining; in words, numbers and containers."""
    subject = pretraining("mine", temperature=0.2, loss="soft", heads=[1, 2], symmetric=True, value=7, protocol_x=1)
    subject["pretrain"]["warmup"] = {"epochs": 3}
    config = evaluation(subject, "probe", temperature=0.07, schedule="1x", changes=2)
    for frame in (results.load(write(tmp_path, config)), results.load(tmp_path)):
        row = frame.iloc[0]
        assert (row["temperature"], row["loss"], row["heads"], row["symmetric"]) == (0.2, "soft", "[1,2]", True)
        assert (row["protocol_temperature"], row["schedule"], row["pretrain_image_size"]) == (0.07, "1x", 32)
        assert row["pretrain_warmup"] == '{"epochs":3}'
        assert (row["value"], row["method_option_value"]) == (90.0, 7), "an option never hides a declared column"
        assert (row["protocol_changes"], row["protocol_option_changes"], row["method_option_protocol_x"]) == (
            None,
            2,
            1,
        )
        assert frame["temperature"].dtype == "float64"
        assert frame["pretrain_image_size"].dtype == "Int64"


def write(runs: Path, config: dict[str, Any]) -> Path:
    write_run(runs, config)
    return runs


def test_reading_runs_imports_neither_torch_nor_pandas() -> None:
    code = (
        "import sys, results, results.store, results.tables, results.render; "
        "sys.exit(any(m in sys.modules for m in ('torch', 'pandas', 'rich', 'matplotlib')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
