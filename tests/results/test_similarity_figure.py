"""Figure similarity: every seed's histogram, spaces on one axis each."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from results.errors import InputError
from results.figures import find_figure
from results.frame import to_frame
from results.store import Store, load_runs
from tests.results.synthetic import evaluation, pretraining, write_run


def test_similarity_adds_up_its_seeds(paper: tuple[Store, pd.DataFrame]) -> None:
    bins = find_figure("similarity").data(paper[0].runs, paper[1])
    shares = bins.groupby(["backbone", "variant", "space", "kind"])["share"].sum()
    assert shares.to_numpy() == pytest.approx(1.0)
    assert set(bins["n"]) == {2}
    assert set(bins[bins["variant"] == "opera"]["space"]) == {"backbone", "instance", "class"}
    assert set(bins[bins["variant"] == "moco_v3"]["space"]) == {"backbone", "instance"}


def test_similarity_has_one_axis_per_space(paper: tuple[Store, pd.DataFrame]) -> None:
    figure = find_figure("similarity").draw(paper[0].runs, paper[1])
    limits: dict[int, set[tuple[float, float]]] = {}
    for panel in figure.axes:
        limits.setdefault(panel.get_subplotspec().colspan.start, set()).add(panel.get_xlim())
    assert [len(found) for found in limits.values()] == [1, 1, 1]


def test_similarity_says_that_its_histograms_are_missing(tmp_path: Path) -> None:
    run_id = write_run(tmp_path, evaluation(pretraining("opera"), "similarity"), metrics={"class_view_cosine": 0.9})
    store = load_runs(tmp_path)
    with pytest.raises(InputError, match=f"artifacts/similarity.json of {run_id} is missing"):
        find_figure("similarity").data(store.runs, to_frame(store.runs))
