"""Figures: every format is written, and the numbers beside the picture are the frame's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from scipy import stats

from results.errors import InputError
from results.figures import FORMATS, figure_names, find_figure, save_figure
from results.figures._style import method_style
from results.frame import to_frame
from results.reference import load_methods
from results.store import Store, load_runs
from tests.results.synthetic import evaluation, pretraining, write_run

HEADLINE = {"top1", "knn_top1", "recall_at_1"}


def write_sweep(runs: Path) -> Store:
    """Two backbones, arrangements A to C, a baseline; three seeds of which one failed."""
    value = 90.0
    for backbone, method, arrangement in (
        ("tiny_vit", "opera", "A"),
        ("tiny_vit", "opera", "B"),
        ("tiny_vit", "opera", "C"),
        ("tiny_vit", "moco_v3", None),
        ("tiny_resnet", "opera", "C"),
        ("tiny_resnet", "moco_v3", None),
    ):
        options: dict[str, Any] = {} if arrangement is None else {"arrangement": arrangement}
        for seed in range(3):
            subject = pretraining(method, backbone, seed=seed, **options)
            rows = [{"epoch": float(e), "total_epochs": 10.0, "loss": 5.0 / e} for e in range(1, 11)]
            failed = (method, backbone, seed) == ("moco_v3", "tiny_resnet", 2)
            parent = write_run(runs, subject, state="failed" if failed else "done", progress=rows)
            for protocol, dataset in (("finetune", "digits"), ("transfer", "mnist5k"), ("knn", "digits")):
                value += 0.37
                metrics = {"top1": value % 100, "top5": 99.0}
                if protocol == "knn":
                    metrics = {"knn_top1": value % 100, "recall_at_1": value % 90}
                config = evaluation(subject, protocol, dataset=dataset)
                write_run(runs, config, state="planned" if failed else "done", metrics=metrics, parents=[parent])
    return load_runs(runs)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_sweep(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def frame(store: Store) -> pd.DataFrame:
    return to_frame(store.runs)


@pytest.mark.parametrize("extension", FORMATS)
def test_every_format(extension: str, paper: tuple[Store, pd.DataFrame], tmp_path: Path) -> None:
    magic = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    picture = save_figure("figure5", paper[0].runs, paper[1], tmp_path / "new" / "folder", extension)
    assert picture.name == f"figure5.{extension}"
    assert picture.read_bytes().startswith(magic[extension])


@pytest.mark.parametrize("name", figure_names())
def test_every_figure_and_its_numbers(name: str, paper: tuple[Store, pd.DataFrame], tmp_path: Path) -> None:
    store, frame = paper
    assert save_figure(name, store.runs, frame, tmp_path, "svg").read_bytes().startswith(b"<?xml")
    assert len(pd.read_csv(tmp_path / f"{name}.csv")) == len(find_figure(name).data(store.runs, frame))


@pytest.mark.parametrize("name", ["methods", "curves"])
def test_equal_input_gives_equal_svg(name: str, store: Store, frame: pd.DataFrame, tmp_path: Path) -> None:
    first = save_figure(name, store.runs, frame, tmp_path / "a", "svg").read_bytes()
    shuffled = frame.sample(frac=1, random_state=1)
    again = save_figure(name, tuple(reversed(store.runs)), shuffled, tmp_path / "b", "svg").read_bytes()
    assert first == again


def test_methods_shows_the_frames_numbers(store: Store, frame: pd.DataFrame) -> None:
    shown = find_figure("methods").data(store.runs, frame)
    expected = frame[frame["protocol"].notna() & frame["metric"].isin(HEADLINE)]
    key = ["run_id", "metric"]
    pd.testing.assert_series_equal(
        shown.set_index(key)["value"].sort_index(),
        expected.set_index(key)["value"].sort_index(),
        check_index_type=False,
    )
    for _, row in shown.groupby(["panel", "backbone", "row"]):
        assert row["mean"].iloc[0] == pytest.approx(row["value"].mean())
        assert row["standard_error"].iloc[0] == pytest.approx(stats.sem(row["value"]))
        assert set(row["n"]) == {len(row)}


def test_methods_tells_the_metrics_of_one_evaluation_apart(paper: tuple[Store, pd.DataFrame]) -> None:
    titles = [axes.get_title() for axes in find_figure("methods").draw(paper[0].runs, paper[1]).axes]
    assert len(set(titles)) == len(titles)
    assert sum(title.endswith("Box AP") for title in titles) == sum(title.endswith("Mask AP") for title in titles) == 2


def test_methods_draws_no_single_seed_twice(tmp_path: Path) -> None:
    write_run(tmp_path, evaluation(pretraining("opera")))
    store = load_runs(tmp_path)
    figure = find_figure("methods").draw(store.runs, to_frame(store.runs))
    dots = [found for found in figure.axes[0].collections if isinstance(found, PathCollection)]
    assert len(dots) == 1
    assert figure.get_supxlabel() == "n = 1 seed; axes do not start at 0"


def test_seeds_shows_distances_from_the_mean(store: Store, frame: pd.DataFrame) -> None:
    shown = find_figure("seeds").data(store.runs, frame)
    assert (shown["mean"] + shown["deviation"]).tolist() == pytest.approx(shown["value"].tolist())
    assert shown.groupby(["panel", "backbone", "row"])["deviation"].sum().abs().max() < 1e-9


def test_figure4_puts_ours_beside_the_published_numbers(store: Store, frame: pd.DataFrame) -> None:
    shown = find_figure("figure4").data(store.runs, frame)
    paper = shown[shown["source"] == "paper"].set_index(["side", "arrangement"])["value"].to_dict()
    # Figure 4 of the paper, as printed.
    assert paper == {
        ("classification", "A"): 78.9,
        ("classification", "B"): 78.6,
        ("classification", "C"): 78.8,
        ("transfer", "A"): 40.9,
        ("transfer", "B"): 41.4,
        ("transfer", "C"): 42.4,
    }
    ours = shown[shown["source"] == "ours"]
    assert set(ours["backbone"]) == {"tiny_vit"}, "one arrangement alone compares nothing"
    opera = frame[(frame["method"] == "opera") & (frame["backbone"] == "tiny_vit") & (frame["metric"] == "top1")]
    for side, protocol in (("classification", "finetune"), ("transfer", "transfer")):
        for arrangement in "ABC":
            expected = opera[(opera["protocol"] == protocol) & (opera["arrangement"] == arrangement)]["value"]
            found = ours[(ours["side"] == side) & (ours["arrangement"] == arrangement)]["value"]
            assert sorted(found) == sorted(expected)


def test_mim_needs_a_run_with_a_masked_image_space(store: Store, frame: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="no finished evaluation of opera_mim"):
        find_figure("mim").draw(store.runs, frame)


def test_rows_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    for epochs in (50, 300):
        for seed in range(2):
            write_run(tmp_path, evaluation(pretraining("opera", seed=seed, epochs=epochs)))
    store = load_runs(tmp_path)
    shown = find_figure("methods").data(store.runs, to_frame(store.runs))
    assert shown["row"].unique().tolist() == ["OPERA, 50 epochs", "OPERA, 300 epochs"]


def test_unlike_data_never_share_a_panel(tmp_path: Path) -> None:
    write_run(tmp_path, evaluation(pretraining("opera", seed=0)), metrics={"top1": 90.0})
    write_run(tmp_path, evaluation(pretraining("opera", seed=1)), metrics={"top1": 10.0}, fingerprint="f" * 64)
    store = load_runs(tmp_path)
    shown = find_figure("methods").data(store.runs, to_frame(store.runs))
    assert sorted(shown["mean"]) == [10.0, 90.0]
    assert shown["panel"].nunique() == 2


def test_options_that_nobody_listed_tell_rows_and_panels_apart(tmp_path: Path) -> None:
    for weight in (0.5, 1.0):
        write_run(tmp_path, evaluation(pretraining("mine", weight=weight), "knn", power=2))
    write_run(tmp_path, evaluation(pretraining("mine", weight=1.0), "knn", power=3))
    store = load_runs(tmp_path)
    shown = find_figure("methods").data(store.runs, to_frame(store.runs))
    assert set(shown["row"]) == {"mine, weight 0.5", "mine, weight 1"}
    assert sorted(panel.split(", ")[2] for panel in shown["panel"]) == ["power 2", "power 2", "power 3"]


def test_runs_that_differ_in_what_a_figure_can_not_show_are_refused(tmp_path: Path) -> None:
    for layers, precision in ((1, "fp32"), (2, "fp32"), (2, "bf16")):
        subject = pretraining("opera", mlp_layers=layers)
        subject["pretrain"]["precision"] = precision
        write_run(tmp_path, evaluation(subject, "finetune"))
    store = load_runs(tmp_path)
    with pytest.raises(InputError, match="would be averaged, but differ: pretrain_precision bf16, fp32"):
        find_figure("figure6").data(store.runs, to_frame(store.runs))


@pytest.mark.parametrize("values", [(0.1, 0.2, 0.4), ("soft", "hard")])
def test_an_option_that_nobody_listed_is_an_ablation(values: tuple[Any, ...], tmp_path: Path) -> None:
    for value in values:
        for seed in range(2):
            write_run(tmp_path, evaluation(pretraining("mine", seed=seed, sharpness=value), "finetune"))
    for queue in ("auto", 16):  # words and numbers for one option
        write_run(tmp_path, evaluation(pretraining("mine", sharpness=values[0], queue=queue, extra=queue), "finetune"))
    store = load_runs(tmp_path)
    frame = to_frame(store.runs)
    shown = find_figure("ablations").data(store.runs, frame)
    assert set(zip(shown["method"], shown["option"], strict=True)) == {("mine", "sharpness")}
    assert sorted(shown["sharpness"].unique()) == sorted(values)
    assert len(shown) == 2 * len(values)
    (axes,) = find_figure("ablations").draw(store.runs, frame).axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == [str(value) for value in sorted(values)]
    assert axes.get_xlabel() == "sharpness (n = 2)"


@pytest.mark.parametrize("name", figure_names())
def test_nothing_to_show_is_said(name: str, tmp_path: Path) -> None:
    write_run(tmp_path, pretraining("opera"), state="planned")
    store = load_runs(tmp_path)
    with pytest.raises(InputError):
        save_figure(name, store.runs, to_frame(store.runs), tmp_path / "out")
    assert not list((tmp_path / "out").glob("*"))


def test_unknown_names_are_refused(store: Store, frame: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'methods'"):
        find_figure("metods")
    with pytest.raises(InputError, match="allowed: png, svg, pdf"):
        save_figure("methods", store.runs, frame, tmp_path, "gif")


def test_styles_tell_methods_apart_without_colour() -> None:
    looks = [method_style(name) for name, look in load_methods().variants.items() if look.colour]
    assert len(looks) == 8
    assert len({look.marker for look in looks}) == len({look.colour for look in looks}) == len(looks)
    assert method_style("someone_elses") == method_style("someone_elses")
