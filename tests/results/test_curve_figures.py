"""Curves over epochs: the pretraining's loss, and its k-NN where it was monitored."""

from __future__ import annotations

from pathlib import Path

import pytest

from results.errors import InputError
from results.figures import find_figure
from results.frame import to_frame
from results.store import load_runs
from tests.results.synthetic import pretraining, write_run


@pytest.mark.parametrize(("seeds", "label"), [(1, "epoch (n = 1 run)"), (2, "epoch (n = 2 runs)")])
def test_curves_count_their_runs(seeds: int, label: str, tmp_path: Path) -> None:
    for seed in range(seeds):
        write_run(tmp_path, pretraining("opera", seed=seed), progress=[{"epoch": 1, "loss": 3.0}])
    store = load_runs(tmp_path)
    figure = find_figure("curves").draw(store.runs, to_frame(store.runs))
    assert figure.axes[0].get_xlabel() == label


def test_curves_take_the_later_of_repeated_epochs(tmp_path: Path) -> None:
    rows = [{"epoch": e, "loss": loss} for e, loss in ((1, 3.0), (2, 2.5), (3, 9.0), (2, 2.4), (3, 2.0))]
    write_run(tmp_path, pretraining("opera"), state="running", progress=[*rows, {"epoch": 4, "other": 1.0}])
    store = load_runs(tmp_path)
    shown = find_figure("curves").data(store.runs, to_frame(store.runs))
    assert shown[["epoch", "loss"]].to_numpy().tolist() == [[1.0, 3.0], [2.0, 2.4], [3.0, 2.0]]


def test_monitoring_shows_the_runs_that_were_looked_at(tmp_path: Path) -> None:
    rows = [{"epoch": 1, "loss": 3.0}, {"epoch": 1, "knn_top1": 40.0, "recall_at_1": 30.0}, {"epoch": 2, "loss": 2.0}]
    again = [{"epoch": 1, "knn_top1": 41.0, "recall_at_1": 31.0}, {"epoch": 3, "knn_top1": 50.0, "recall_at_1": 45.0}]
    write_run(tmp_path, pretraining("moco_v3"), progress=rows[::2])
    store = load_runs(tmp_path)
    with pytest.raises(InputError, match="no pretraining was monitored; launch with --compute"):
        find_figure("monitoring").data(store.runs, to_frame(store.runs))
    run_id = write_run(tmp_path, pretraining("opera"), progress=[*rows, *again])
    store = load_runs(tmp_path)
    shown = find_figure("monitoring").data(store.runs, to_frame(store.runs))
    assert shown[["run_id", "epoch", "knn_top1", "recall_at_1"]].to_numpy().tolist() == [
        [run_id, 1.0, 41.0, 31.0],
        [run_id, 3.0, 50.0, 45.0],
    ]
