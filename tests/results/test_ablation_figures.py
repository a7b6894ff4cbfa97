"""Figures 4 to 8: one setting varied, ours beside what the paper prints."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from results.columns import DERIVED
from results.figures import find_figure
from results.frame import to_frame
from results.store import Store, load_runs
from tests.results.synthetic import evaluation, pretraining, write_run


@pytest.mark.parametrize(
    ("name", "field", "values"),
    [
        ("figure5", "pretrain_epochs", [2, 4, 6, 8, 12]),
        ("figure6", "mlp_layers", [1, 2, 3, 4, 5]),
        ("figure7", "embedding_dimension", [32, 64, 128, 256]),
        ("figure8", "hidden_dimension", [128, 256, 512, 1024]),
    ],
)
def test_an_ablation_varies_one_setting(
    name: str, field: str, values: list[int], paper: tuple[Store, pd.DataFrame]
) -> None:
    store, frame = paper
    shown = find_figure(name).data(store.runs, frame)
    ours = shown[shown["run_id"].notna()]
    tiny_vit = ours[ours["backbone"] == "tiny_vit"]
    for side, protocol in (("classification", "finetune"), ("transfer", "segmentation")):
        found = tiny_vit[tiny_vit["side"] == side]
        assert set(found["protocol"]) == {protocol}
        assert sorted(found[field].unique()) == values
        assert len(found) == 2 * len(values), "two seeds, each value once"
        others = {"pretrain_epochs", "mlp_layers", "embedding_dimension", "hidden_dimension", "global_batch_size"} - {
            field
        }
        assert all(found[other].nunique() == 1 for other in others)
    expected = frame.set_index(["run_id", "metric"])["value"]
    for row in ours.to_dict("records"):
        assert row["value"] == expected[row["run_id"], row["metric"]]


def test_figure5_shows_what_the_paper_prints(paper: tuple[Store, pd.DataFrame]) -> None:
    shown = find_figure("figure5").data(paper[0].runs, paper[1])
    printed = shown[shown["source"] == "paper"]
    points = {(row["side"], row["pretrain_epochs"]): row["value"] for row in printed.to_dict("records")}
    # Section 4.3's text, and Tables 7, 2 and 4
    assert points == {
        ("classification", 50): 78.7,
        ("classification", 100): 78.8,
        ("classification", 150): 79.1,
        ("classification", 300): 80.0,
        ("transfer", 100): 42.4,
        ("transfer", 150): 43.4,
        ("transfer", 300): 43.6,
    }


@pytest.mark.parametrize("name", ["figure4", "figure5", "figure6", "figure7", "figure8"])
def test_ours_tell_their_seeds_and_the_papers_tell_none(name: str, paper: tuple[Store, pd.DataFrame]) -> None:
    for panel in find_figure(name).draw(paper[0].runs, paper[1]).axes:
        theirs = "Paper" in panel.get_title()
        assert ("n = " not in panel.get_xlabel()) if theirs else panel.get_xlabel().endswith("(n = 2)")


def test_only_the_papers_markers_are_open(paper: tuple[Store, pd.DataFrame]) -> None:
    for panel in find_figure("figure5").draw(paper[0].runs, paper[1]).axes:
        theirs = "Paper" in panel.get_title()
        faces = [line.get_markerfacecolor() for line in panel.lines if line.get_marker() not in ("None", "", "|", "_")]
        assert faces
        assert all((face == "white") == theirs for face in faces)


def test_one_network_looks_the_same_in_every_panel(paper: tuple[Store, pd.DataFrame]) -> None:
    looks = {
        (text, container[0].get_marker(), container[0].get_linestyle())
        for panel in find_figure("figure5").draw(paper[0].runs, paper[1]).axes
        for container, text in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    assert len(looks) == len({text for text, *_ in looks}) == 3


def test_an_option_with_the_name_of_a_figures_column_is_an_option(tmp_path: Path) -> None:
    main = dict.fromkeys(sorted(DERIVED), 1)
    for seed in range(2):
        for options in (main, *({**main, name: 2} for name in main)):
            write_run(tmp_path, evaluation(pretraining("mine", seed=seed, **options), "finetune"))
    store = load_runs(tmp_path)
    frame = to_frame(store.runs)
    shown = find_figure("ablations").data(store.runs, frame)
    assert set(shown["option"]) == {f"method_option_{name}" for name in main}
    assert shown.groupby("option").size().eq(4).all()
    rows = find_figure("methods").data(store.runs, frame)["row"]
    assert rows.nunique() == 1 + len(main)
    assert {row.removeprefix("mine, ").split(" 2")[0].split(" 1")[0] for row in rows} <= {
        f"method option {name.replace('_', ' ')}" for name in main
    }


@pytest.mark.parametrize("name", ["methods", "seeds", "ablations", "figure4", "figure5", "figure6"])
def test_every_column_that_figures_add_is_reserved(name: str, paper: tuple[Store, pd.DataFrame]) -> None:
    store, frame = paper
    assert {*find_figure(name).data(store.runs, frame)} <= {*frame.columns, *DERIVED}


def test_series_differ_in_an_option_that_one_does_not_have(tmp_path: Path) -> None:
    for layers in (1, 2):
        write_run(tmp_path, evaluation(pretraining(mlp_layers=layers), "finetune"))
        subject = pretraining(mlp_layers=layers, queue=8)
        write_run(tmp_path, evaluation(subject, "transfer"))
    store = load_runs(tmp_path)
    shown = find_figure("figure6").data(store.runs, to_frame(store.runs))
    assert set(zip(shown["side"], shown["series"], strict=True)) == {
        ("classification", "tiny ViT"),
        ("transfer", "tiny ViT, queue 8"),
    }
