"""Figure 1: bars stand side by side only if nothing but the method tells them apart."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from results.errors import InputError
from results.figures.figure1 import data
from results.frame import to_frame
from results.store import load_runs
from tests.results.paper_runs import PAPER, TINY, write_paper_runs
from tests.results.synthetic import evaluation, pretraining, write_run


def bars_of(directory: Path) -> pd.DataFrame:
    runs = load_runs(directory).runs
    return data(runs, to_frame(runs))


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Of the whole paper in miniature, two seeds."""
    directory = tmp_path_factory.mktemp("paper")
    write_paper_runs(directory, TINY, seeds=2)
    return bars_of(directory)


def test_it_holds_the_papers_numbers_beside_runs_of_its_scale(tmp_path: Path) -> None:
    write_paper_runs(tmp_path, PAPER)
    bars = bars_of(tmp_path)
    paper = {
        (b["backbone"], b["task"].split("\n")[1], b["protocol"], b["method"]): b["paper"]
        for b in bars.to_dict("records")
    }
    assert paper["resnet50", "ImageNet", "linear", "opera"] == 74.8
    assert paper["resnet50", "CIFAR-100", "transfer", "supervised"] == 85.5
    assert paper["vit_small", "ADE20K", "segmentation", "moco_v3"] == 42.3


def test_it_claims_no_number_of_the_paper_in_miniature(bars: pd.DataFrame) -> None:
    assert bars["paper"].isna().all()
    assert (bars["n"] == 2).all()
    assert not bars.duplicated(["backbone", "task", "method"]).any()


def test_it_never_puts_unlike_settings_side_by_side(bars: pd.DataFrame) -> None:
    settings = ["pretrain_epochs", "global_batch_size", "finetune_epochs", "schedule", "protocol_recipe"]
    assert (bars.groupby(["backbone", "task"])[settings].nunique() <= 1).all(axis=None)
    finetuned = bars[(bars["backbone"] == "tiny_vit") & (bars["protocol"] == "finetune")]
    assert list(finetuned["method"]) == ["moco_v3", "opera"], "supervised was finetuned after fewer epochs only"


def test_it_takes_what_most_methods_share_before_what_is_longest(tmp_path: Path) -> None:
    for method, epochs, lengths in (("supervised", 100, (5,)), ("moco_v3", 100, (5, 9)), ("opera", 100, (5, 9))):
        for length in lengths:
            write_run(tmp_path, evaluation(pretraining(method, epochs=epochs), "finetune", epochs=length))
    write_run(tmp_path, evaluation(pretraining("opera", epochs=300), "finetune", epochs=9))
    bars = bars_of(tmp_path)
    assert list(bars["method"]) == ["supervised", "moco_v3", "opera"]
    assert set(bars["pretrain_epochs"]) == {100}
    assert set(bars["finetune_epochs"]) == {5}


def test_it_takes_the_protocol_as_its_recipe_has_it(tmp_path: Path) -> None:
    for method in ("moco_v3", "opera"):
        for schedule, changed in (("1x", ()), ("2x", ("schedule",))):
            config = evaluation(pretraining(method), "detection", schedule=schedule, changed=changed)
            write_run(tmp_path, config, metrics={"box_AP": 40.0})
    assert set(bars_of(tmp_path)["schedule"]) == {"1x"}


def test_it_refuses_methods_that_share_no_setting(tmp_path: Path) -> None:
    for method, epochs in (("moco_v3", 300), ("opera", 150)):
        write_run(tmp_path, evaluation(pretraining(method, epochs=epochs)))
    with pytest.raises(InputError, match="in one setting"):
        bars_of(tmp_path)
