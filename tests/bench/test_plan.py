"""Expansion, filters, overrides, deduplication, ids."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.plan.graph import Plan, plan_sweep
from bench.sweep.load import load_sweep
from results.identity import canonical_json, run_id
from tests.bench.conftest import SWEEP

GOLDEN_CONFIG = {
    "pretrain": {
        "method": "opera",
        "method_options": {"arrangement": "C", "temperature": 0.2},
        "backbone": "tiny_vit",
        "dataset": "digits",
        "epochs": 10,
        "seed": 0,
        "recipe": {"id": "r", "version": 3, "source": "somewhere", "changed": ["epochs"]},
    }
}


@pytest.fixture
def planned(write_sweep: Callable[..., Path]) -> Callable[..., Plan]:
    def plan(text: str, *overrides: str) -> Plan:
        return plan_sweep(load_sweep(str(write_sweep(text)), overrides))

    return plan


def pretrainings(plan: Plan) -> list[dict]:
    return [run.config["pretrain"] for run in plan.runs if run.stage == "pretrain"]


def sweep_of(entry: str, evaluate: str = "[]") -> str:
    return f"name: x\npretrain:\n  - {entry}\nevaluate: {evaluate}\n"


def test_lists_multiply(planned: Callable[..., Plan]) -> None:
    entry = (
        "{method: opera, backbone: [tiny_vit, tiny_resnet], dataset: digits, seed: [0, 1, 2],"
        " arrangement: [A, C], batch_size: [64, 128]}"
    )
    found = [
        (c["backbone"], c["method_options"]["arrangement"], c["global_batch_size"], c["seed"])
        for c in pretrainings(planned(sweep_of(entry)))
    ]
    expected = itertools.product(("tiny_vit", "tiny_resnet"), "AC", (64, 128), (0, 1, 2))
    assert found == list(expected)


def test_a_setting_that_is_a_list_keeps_its_list(planned: Callable[..., Plan]) -> None:
    one = (
        "{method: opera, backbone: tiny_vit, dataset: digits, views: [{crop_scale: [0.1, 1]}, {crop_scale: [0.2, 1]}]}"
    )
    (config,) = pretrainings(planned(sweep_of(one)))
    assert [view["crop_scale"][0] for view in config["views"]] == [0.1, 0.2]
    other = "[{crop_scale: [0.3, 1]}, {crop_scale: [0.4, 1]}]"
    two = one.replace("views: [", "views: [[").replace("]}]}", f"]}}], {other}]}}")
    both = [[view["crop_scale"][0] for view in config["views"]] for config in pretrainings(planned(sweep_of(two)))]
    assert both == [[0.1, 0.2], [0.3, 0.4]]
    probes = "[{probe: {crop_scale: [0.1, 0.9], epochs: [1, 2]}}]"
    runs = planned(sweep_of("{method: opera, backbone: tiny_vit, dataset: digits}", probes)).runs[1:]
    assert [(r.config["evaluator"]["crop_scale"], r.config["evaluator"]["epochs"]) for r in runs] == [
        ([0.1, 0.9], 1),
        ([0.1, 0.9], 2),
    ]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("only: {method: opera}", {"opera A 0", "opera A 1", "opera C 0", "opera C 1"}),
        ("only: {method: [opera], seed: 1}", {"opera A 1", "opera C 1"}),
        ("only: {arrangement: C}", {"opera C 0", "opera C 1"}),
        ("except: {arrangement: [A]}", {"opera C 0", "opera C 1", "moco_v3 - 0", "moco_v3 - 1"}),
        ("only: {seed: 0}, except: {method: moco_v3}", {"opera A 0", "opera C 0"}),
        ("only: {epochs: 3}", set()),
        ("only: {batch_size: 128, seed: 0}", {"opera A 0", "opera C 0", "moco_v3 - 0"}),
    ],
)
def test_filters_choose_checkpoints(rule: str, expected: set[str], planned: Callable[..., Plan]) -> None:
    text = f"""\
name: x
pretrain:
  - {{method: opera, backbone: tiny_vit, dataset: digits, arrangement: [A, C], seed: [0, 1]}}
  - {{method: moco_v3, backbone: tiny_vit, dataset: digits, seed: [0, 1]}}
evaluate:
  - {{probe: {{{rule}}}}}
"""
    judged = {
        f"{c['method']} {c['method_options'].get('arrangement', '-')} {c['seed']}"
        for run in planned(text).runs
        if run.stage == "probe"
        for c in [run.config["pretrain"]]
    }
    assert judged == expected


def test_overrides(planned: Callable[..., Plan]) -> None:
    assert len(pretrainings(planned(SWEEP))) == 4
    assert len(pretrainings(planned(SWEEP, "pretrain.*.seed=[0]"))) == 2
    assert {c["epochs"] for c in pretrainings(planned(SWEEP, "pretrain.0.epochs=9"))} == {9}
    probes = planned(SWEEP, "evaluate.probe.epochs=5").runs[4:]
    assert {run.config["evaluator"]["epochs"] for run in probes} == {5}
    rates = pretrainings(planned(SWEEP, "pretrain.0.optimizer.weight_decay=0.3"))
    assert {(c["optimizer"]["weight_decay"], c["optimizer"]["name"]) for c in rates} == {(0.3, "adamw")}
    assert planned(SWEEP, "name=other").name == "other"


def test_the_same_run_asked_for_twice_is_one_run(planned: Callable[..., Plan]) -> None:
    once = planned(SWEEP)
    again = (
        "  - {method: opera, backbone: tiny_vit, dataset: digits, seed: 1, epochs: 2}\n"
        "evaluate:\n  - probe: {epochs: 1}\n"
    )
    twice = planned(SWEEP.replace("evaluate:\n", again))
    assert twice.run_ids == once.run_ids


def test_parents_come_first_and_are_planned(planned: Callable[..., Plan]) -> None:
    seen: set[str] = set()
    for run in planned(SWEEP).runs:
        assert set(run.parents) <= seen
        seen.add(run.run_id)


def test_shipped_pretraining_ids_do_not_depend_on_where_they_are_planned(
    planned: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = planned(SWEEP).run_ids
    monkeypatch.setenv("HOSTNAME", "elsewhere")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert planned(SWEEP + "data: {imagenet: /other}\ndescription: other words\n").run_ids == here


def test_golden_id() -> None:
    """This id must not change: everyone's finished runs would be taken for missing and run again.

    If it has to, that is a breaking change to announce, not a number to update. The digits come from
    ``printf '%s' '<the text below>' | sha256sum | cut -c1-10``.
    """
    text = (
        '{"config":{"pretrain":{"backbone":"tiny_vit","dataset":"digits","epochs":10,"method":"opera",'
        '"method_options":{"arrangement":"C","temperature":0.2},"recipe":{"changed":["epochs"],"id":"r","version":3},'
        '"seed":0}},"parents":[],"stage":"pretrain"}'
    )
    assert hashlib.sha256(text.encode()).hexdigest()[:10] == "d828678993"
    found = run_id("pretrain", GOLDEN_CONFIG, ())
    assert found == "pretrain-opera-tiny_vit-e10-s0-d828678993"


def test_every_setting_counts_and_the_source_of_the_recipe_does_not() -> None:
    def changed(**recipe_or_setting: object) -> str:
        config = json.loads(json.dumps(GOLDEN_CONFIG))
        for key, value in recipe_or_setting.items():
            (config["pretrain"]["recipe"] if key in ("source", "changed", "version") else config["pretrain"])[key] = (
                value
            )
        return run_id("pretrain", config, ())

    same = changed()
    assert changed(source="elsewhere") == changed(epochs=10.0) == same
    different = [changed(version=4), changed(epochs=11), changed(seed=1), changed(method_options={})]
    different.append(changed(changed=[]))
    assert len({same, *different}) == 6
    assert run_id("pretrain", GOLDEN_CONFIG, ("p",)) != same
    assert run_id("linear", GOLDEN_CONFIG, ())[-10:] != same[-10:]


def test_ids_are_names_of_files() -> None:
    config = {"pretrain": {**GOLDEN_CONFIG["pretrain"], "method": "a b/../c:é"}}
    name = run_id("Linear", config, ())
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.-")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(json_values, st.randoms(use_true_random=False))
def test_canonical_json_says_the_same_of_equal_values(value: object, shuffle: random.Random) -> None:
    def reordered(part: object) -> object:
        if isinstance(part, dict):
            items = [(key, reordered(item)) for key, item in part.items()]
            shuffle.shuffle(items)
            return dict(items)
        if isinstance(part, list):
            return tuple(map(reordered, part))
        return part

    text = canonical_json(value)
    assert canonical_json(reordered(value)) == text
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("only: {epochs: [3, 33]}", ["only.epochs: 33 chooses"]),
        ("only: {epochs: [3, 5, 7]}", []),
        ("only: {epochs: [3, null]}", ["only.epochs: null chooses"]),
        ("only: {method: [supervised, moco_v3], epochs: 3}", ["only.method: supervised chooses"]),
        ("only: {temperature: [null, 0.2]}", ["only.temperature: null chooses"]),
        ("except: {epochs: [3, 33, 44]}", ["except.epochs: 33 excludes", "except.epochs: 44 excludes"]),
        ("only: {epochs: [3, 5]}, except: {epochs: [3, 7]}", ["except.epochs: 7 excludes"]),
        ("only: {batch_size: [64, 128]}", ["only.batch_size: 64 chooses"]),
    ],
)
def test_every_value_of_a_filter_that_does_nothing_is_said(
    rule: str, said: list[str], planned: Callable[..., Plan]
) -> None:
    text = f"""\
name: x
pretrain:
  - {{method: moco_v3, backbone: tiny_vit, dataset: digits, epochs: [3, 5], batch_size: 128}}
  - {{method: supervised, backbone: tiny_vit, dataset: digits, epochs: 7, batch_size: 128}}
evaluate:
  - {{probe: {{{rule}}}}}
"""
    notes = planned(text).notes
    assert list(notes) == [f"small.yaml:6: {sentence} no checkpoint of this sweep" for sentence in said]
