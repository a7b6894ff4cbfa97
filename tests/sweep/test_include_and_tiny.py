"""Sweeps that include others, and sweeps made tiny: what is joined, what is shrunk, what is refused and where."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.plan.graph import plan_sweep
from bench.sweep.errors import InputError
from bench.sweep.load import load_sweep
from bench.sweep.model import Sweep

ONE = """\
name: one
data: {imagenet: /data/a, pets: /data/p}
pretrain:
  - {method: opera, backbone: vit_small, epochs: [150, 300], batch_size: 1024}
evaluate: [linear]
tables: [table1]
"""
TWO = """\
name: two
pretrain:
  - {method: opera, backbone: vit_small, epochs: 300, batch_size: 1024}
evaluate: [finetune]
tables: [table2]
"""


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Sweep]:
    def write(text: str, *overrides: str, tiny: bool = False) -> Sweep:
        (tmp_path / "parts").mkdir(exist_ok=True)
        (tmp_path / "parts" / "one.yaml").write_text(ONE)
        (tmp_path / "two.yaml").write_text(TWO)
        (tmp_path / "whole.yaml").write_text(text)
        return load_sweep(str(tmp_path / "whole.yaml"), overrides, tiny=tiny)

    return write


BOTH = "name: whole\ninclude: [parts/one.yaml, two.yaml]\n"


def stages(sweep: Sweep) -> list[str]:
    return [f"{run.stage} {run.config['pretrain']['epochs']}" for run in plan_sweep(sweep).runs]


def test_included_sweeps_keep_their_own_evaluations_and_share_pretrainings(load: Callable[..., Sweep]) -> None:
    sweep = load(BOTH + "tables: [table8, table1]\ndata: {cifar10: /data/c}\n")
    assert stages(sweep) == ["pretrain 150", "pretrain 300", "linear 150", "linear 300", "finetune 300"]
    assert sweep.file.tables == ("table1", "table2", "table8")
    assert sweep.file.data == {"imagenet": "/data/a", "pets": "/data/p", "cifar10": "/data/c"}


def test_a_sweep_may_include_and_pretrain(load: Callable[..., Sweep]) -> None:
    own = "pretrain: [{method: moco_v3, backbone: vit_small, epochs: 300}]\nevaluate: [knn]\n"
    assert stages(load("name: whole\ninclude: [two.yaml]\n" + own)) == [
        "pretrain 300",
        "pretrain 300",
        "finetune 300",
        "knn 300",
    ]


def test_assignments_reach_included_sweeps(load: Callable[..., Sweep]) -> None:
    assert len(plan_sweep(load(BOTH, "pretrain.*.seed=[0, 1]")).runs) == 10
    changed = load(BOTH, "evaluate.finetune.epochs=7", "name=other", "data.imagenet=/b")
    assert [run.config["evaluator"]["epochs"] for run in plan_sweep(changed).runs[2:]] == [90, 90, 7]
    assert (changed.name, changed.file.data["imagenet"]) == ("other", "/b")
    with pytest.raises(InputError, match=r"--set evaluate\.knn\.neighbours=3: evaluate has no entry 'knn'"):
        load(BOTH, "evaluate.knn.neighbours=3")


def test_own_data_settles_a_disagreement(load: Callable[..., Sweep], tmp_path: Path) -> None:
    (tmp_path / "three.yaml").write_text(ONE.replace("name: one", "name: three").replace("/data/a", "/data/z"))
    text = "name: whole\ninclude: [parts/one.yaml, three.yaml]\n"
    with pytest.raises(InputError, match=r"whole\.yaml:2: one and three name different directories for dataset imagen"):
        load(text)
    assert load(text + "data: {imagenet: /data/q}\n").file.data["imagenet"] == "/data/q"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: whole\ninclude:\n  - table1\n  - tabel2\n", r"whole\.yaml:4: no sweep 'tabel2'.*did you mean 'table2'"),
        ("name: whole\ninclude: [none.yaml]\n", r"whole\.yaml:2: none\.yaml: no such sweep file"),
        ("name: whole\ninclude: [whole.yaml]\n", r"whole\.yaml:2: whole\.yaml includes itself"),
        ("name: whole\n", r"whole\.yaml:1: .*there is nothing to run; add pretrain"),
        (BOTH + "evaluate: [linear]\n", r"whole\.yaml:1: .*evaluate needs pretrainings in this sweep"),
        ("name: whole\nincludes: [table1]\n", r"whole\.yaml:2: unknown key 'includes'; did you mean 'include'"),
    ],
)
def test_a_bad_include_is_refused_with_its_line(text: str, expected: str, load: Callable[..., Sweep]) -> None:
    with pytest.raises(InputError) as refusal:
        load(text)
    assert re.match(expected, str(refusal.value)), str(refusal.value)


def test_two_sweeps_can_t_include_each_other(load: Callable[..., Sweep], tmp_path: Path) -> None:
    (tmp_path / "back.yaml").write_text("name: back\ninclude: [whole.yaml]\n")
    with pytest.raises(InputError, match=r"back\.yaml:2: whole\.yaml includes itself"):
        load("name: whole\ninclude: [back.yaml]\n")


def test_tiny_shrinks_what_was_assigned(load: Callable[..., Sweep]) -> None:
    sweep = load(TWO, "pretrain.0.batch_size=[1024, 4096]", "evaluate.finetune.epochs=200", tiny=True)
    runs = plan_sweep(sweep).runs
    assert [run.config["pretrain"]["global_batch_size"] for run in runs[:2]] == [64, 256]
    assert {run.config["evaluator"]["epochs"] for run in runs[2:]} == {4}
    assert (sweep.name, sweep.file.tables) == ("two-tiny", ("table2",))


def test_tiny_filters_follow(load: Callable[..., Sweep]) -> None:
    rules = "evaluate: [{linear: {only: {backbone: vit_small, epochs: 300}, except: {batch_size: [2048]}}}]\n"
    text = ONE.replace("evaluate: [linear]\n", rules)
    assert stages(load(text, tiny=True)) == ["pretrain 6", "pretrain 12", "linear 12"]


def test_tiny_needs_no_data_of_the_full_size(load: Callable[..., Sweep]) -> None:
    assert load(BOTH, tiny=True).file.data == {}


def test_numbers_too_close_for_tiny_are_refused(load: Callable[..., Sweep]) -> None:
    with pytest.raises(
        InputError, match=r"--set pretrain\.0\.epochs=.*: epochs: --tiny turns \[299, 300\] into \[12\]"
    ):
        load(TWO, "pretrain.0.epochs=[299, 300]", tiny=True)


def test_what_is_tiny_stays_as_it_is() -> None:
    assert plan_sweep(load_sweep("digits", tiny=True)) == plan_sweep(load_sweep("digits"))
