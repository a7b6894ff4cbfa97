"""Statistics against scipy and hand-made numbers; pairing against frames whose pairs are known."""

from __future__ import annotations

import csv
import io
import json
import math
import random
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from results.compare import Comparison, compare, render_comparison
from results.errors import InputError
from results.frame import to_frame
from results.statistics import mean, paired_difference, sign_test, standard_error
from results.store import load_runs
from results.variants import variant, variants
from tests.results.synthetic import evaluation, pretraining, write_run

OURS = [97.1, 96.4, 98.0, 97.7]
BASELINE = [95.0, 96.6, 96.1, 95.9]


def test_mean_and_standard_error_agree_with_scipy() -> None:
    assert mean(OURS) == pytest.approx(sum(OURS) / 4)
    assert standard_error(OURS) == pytest.approx(stats.sem(OURS, ddof=1))
    assert standard_error([1.0, 3.0]) == pytest.approx(1.0)
    assert standard_error([5.0]) is None


def test_paired_difference_agrees_with_scipy() -> None:
    found = paired_difference(OURS, BASELINE)
    expected = stats.ttest_rel(OURS, BASELINE)
    interval = expected.confidence_interval(0.95)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.low == pytest.approx(interval.low)
    assert found.high == pytest.approx(interval.high)
    assert (found.wins, found.losses, found.ties) == (3, 1, 0)
    assert found.mean == pytest.approx(1.4)


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (3, 0), (5, 2), (2, 5), (4, 4), (40, 21)])
def test_sign_test_agrees_with_the_exact_binomial_test(wins: int, losses: int) -> None:
    expected = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert sign_test(wins, losses) == pytest.approx(expected)


def test_without_spread_there_is_no_interval() -> None:
    for ours, baseline in (([97.0], [95.0]), ([97.2, 96.1, 98.3], [96.0, 94.9, 97.1])):
        found = paired_difference(ours, baseline)
        assert (found.low, found.high, found.p_value) == (None, None, None)


def test_a_lower_loss_wins() -> None:
    found = paired_difference([0.5, 0.6], [0.7, 0.6], higher_is_better=False)
    assert (found.wins, found.losses, found.ties) == (1, 0, 1)
    assert found.mean == pytest.approx(-0.1)


def test_variants_of_opera() -> None:
    assert variant({"method": "opera", "arrangement": "C", "preset": "official"}) == "opera"
    assert variant({"method": "opera", "arrangement": "A", "preset": None}) == "opera (A)"
    assert variant({"method": "opera", "arrangement": "B", "preset": "paper"}) == "opera (B, paper)"
    assert variant({"method": "moco_v3", "arrangement": math.nan}) == "moco_v3"


class Sweep:
    """Finished evaluations by hand: ``add("opera", seed=1, top1=97.0)``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def add(self, method: str, top1: float = 90.0, *, state: str = "done", **options: Any) -> str:
        recorded = {name: options.pop(name) for name in ("fingerprint",) if name in options}
        judged = {name: options.pop(name) for name in ("version", "protocol") if name in options}
        protocol = judged.pop("protocol", "linear")
        if "judged_changed" in options:
            judged["changed"] = options.pop("judged_changed")
            judged |= {name: options.pop(name) for name in judged["changed"]}
        config = evaluation(pretraining(method, **options), protocol, **judged)
        return write_run(self.directory, config, state=state, metrics={"top1": top1, "top5": 99.0}, **recorded)

    def frame(self) -> pd.DataFrame:
        return to_frame(load_runs(self.directory).runs)


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path)


def top1_group(comparison: Comparison) -> Any:
    (group,) = (group for group in comparison.groups if group.fields["metric"] == "top1")
    return group


def test_pairs_are_formed_by_seed(sweep: Sweep) -> None:
    for seed, (ours, baseline) in enumerate(zip(OURS, BASELINE, strict=True)):
        sweep.add("opera", ours, seed=seed)
        sweep.add("moco_v3", baseline, seed=seed)
    shuffled = sweep.frame().sample(frac=1, random_state=0)
    found = compare(shuffled, "opera")
    group = top1_group(found)
    assert group.seeds == (0, 1, 2, 3)
    assert group.difference == paired_difference(OURS, BASELINE)
    assert group.method_mean == pytest.approx(97.3)
    assert found.unpaired == ()
    assert compare(pd.concat([shuffled, shuffled]), "opera") == found


def test_random_weights_pair_with_every_length_of_training(sweep: Sweep) -> None:
    for seed in (0, 1):
        sweep.add("random_init", 30.0 + seed, seed=seed, epochs=0, global_batch_size=1024)
        for epochs in (5, 10):
            sweep.add("opera", 80.0 + epochs + seed, seed=seed, epochs=epochs)
    for method, baseline, sign in (("opera", "random_init", 1), ("random_init", "opera", -1)):
        found = compare(sweep.frame(), method, baseline)
        groups = {g.fields["pretrain_epochs"]: g for g in found.groups if g.fields["metric"] == "top1"}
        assert {epochs: g.difference.mean for epochs, g in groups.items()} == {5: sign * 55.0, 10: sign * 60.0}
        assert all(g.seeds == (0, 1) for g in groups.values())
        assert found.unpaired == ()


def test_without_a_pair_a_sentence_says_so(sweep: Sweep) -> None:
    sweep.add("opera", 90.0, epochs=5)
    sweep.add("moco_v3", 80.0, epochs=10)
    found = compare(sweep.frame(), "opera")
    for format in ("md", "terminal"):  # noqa: A001
        text = render_comparison(found, format)
        assert "there is nothing to compare" in text
        assert "Δ" not in text
        assert "differs in pretrain_epochs (5, there 10)" in text.replace("\n", " ")


def test_verdicts_claim_no_more_than_the_pairs_show(sweep: Sweep) -> None:
    sweep.add("opera", 99.0)
    sweep.add("moco_v3", 50.0)
    assert top1_group(compare(sweep.frame(), "opera")).verdict == "n = 1: no spread, no verdict"
    sweep.add("opera", 60.0, seed=1)
    sweep.add("moco_v3", 59.0, seed=1)
    assert "n = 2: the interval contains 0" in top1_group(compare(sweep.frame(), "opera")).verdict


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"backbone": "tiny_resnet"}, "differs in backbone (tiny_vit, there tiny_resnet)"),
        ({"global_batch_size": 64}, "differs in global_batch_size (128, there 64)"),
        ({"epochs": 20}, "differs in pretrain_epochs (10, there 20)"),
        ({"seed": 5}, "differs in seed (0, there 5)"),
        ({"version": 2}, "differs in protocol_recipe (linear-tiny@1, there linear-tiny@2)"),
        ({"fingerprint": "f" * 64}, "differs in fingerprint ("),
        (
            {"judged_changed": ("learning_rate",), "learning_rate": 0.3},
            "differs in protocol_recipe (linear-tiny@1, there linear-tiny@1*), "
            "protocol_changes (None, there learning_rate=0.3)",
        ),
        ({"protocol": "knn"}, "moco_v3 has no linear run"),
        ({"state": "failed"}, "its partner is failed"),
        ({"state": "planned"}, "its partner is planned"),
    ],
)
def test_what_keeps_two_runs_apart_is_named(sweep: Sweep, changed: dict[str, Any], reason: str) -> None:
    ours = sweep.add("opera")
    sweep.add("moco_v3", **changed)
    found = compare(sweep.frame(), "opera")
    assert found.groups == ()
    (unpaired,) = (one for one in found.unpaired if one.run_id == ours)
    assert reason in unpaired.reason


def test_a_recipe_changed_in_two_ways_is_two_protocols(sweep: Sweep) -> None:
    ours = sweep.add("opera", judged_changed=("learning_rate",), learning_rate=0.1)
    sweep.add("moco_v3", judged_changed=("learning_rate",), learning_rate=0.3)
    found = compare(sweep.frame(), "opera")
    assert found.groups == ()
    (unpaired,) = (one for one in found.unpaired if one.run_id == ours)
    assert "differs in protocol_changes (learning_rate=0.1, there learning_rate=0.3)" in unpaired.reason


def test_a_seed_counts_once(sweep: Sweep) -> None:
    """The same work under another parent's id is a second run of one seed, and no second witness."""
    values: dict[str, float] = {}
    for seed in range(2):
        sweep.add("moco_v3", 90.0, seed=seed)
        for parent, top1 in (("a", 91.0), ("b", 99.0)):
            config = evaluation(pretraining("opera", seed=seed))
            values[write_run(sweep.directory, config, metrics={"top1": top1}, parents=(parent,))] = top1
    group = top1_group(compare(sweep.frame(), "opera"))
    first = [min(run_id for run_id in values if f"-s{seed}-" in run_id) for seed in range(2)]
    assert group.seeds == (0, 1)
    assert group.method_mean == pytest.approx(sum(values[run_id] for run_id in first) / 2)


def test_any_two_methods(sweep: Sweep) -> None:
    for seed in range(3):
        sweep.add("supervised", 80.0 + seed, seed=seed)
        sweep.add("mine", 83.0 + 2 * seed, seed=seed)
    found = compare(sweep.frame(), "mine", baseline="supervised")
    assert top1_group(found).difference.mean == pytest.approx(4.0)
    swapped = top1_group(compare(sweep.frame(), "supervised", baseline="mine")).difference
    assert (swapped.mean, swapped.wins, swapped.losses) == (pytest.approx(-4.0), 0, 3)


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=2, max_size=8),
    st.integers(2, 6),
)
@settings(max_examples=50, deadline=None)
def test_paired_differences_are_scipys(pairs: list[tuple[float, float]], decimals: int) -> None:
    ours = [round(a, decimals) for a, _ in pairs]
    theirs = [round(b, decimals) for _, b in pairs]
    found = paired_difference(ours, theirs)
    assert found.wins + found.losses + found.ties == found.n == len(pairs)
    spread = {round(a - b, 9) for a, b in zip(ours, theirs, strict=True)}
    if len(spread) == 1:
        assert found.p_value is None
        return
    expected = stats.ttest_rel(ours, theirs)
    interval = expected.confidence_interval(0.95)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    assert (found.low, found.high) == (pytest.approx(interval.low, abs=1e-6), pytest.approx(interval.high, abs=1e-6))
    assert (found.p_value < 0.05) == (not found.low <= 0 <= found.high) or found.p_value == pytest.approx(0.05)  # type: ignore[operator]


@given(st.randoms(use_true_random=False))
@settings(max_examples=10, deadline=None)
def test_order_repetition_and_strangers_change_nothing(random_: random.Random) -> None:
    with tempfile.TemporaryDirectory() as directory:
        sweep = Sweep(Path(directory))
        for seed, (ours, baseline) in enumerate(zip(OURS, BASELINE, strict=True)):
            sweep.add("opera", ours, seed=seed)
            sweep.add("moco_v3", baseline, seed=seed)
        before = sweep.frame()
        expected = compare(before, "opera")
        sweep.add("supervised", 12.0)
        sweep.add("stranger", 100.0, backbone="else")
        after = sweep.frame()
    order = list(range(len(after)))
    random_.shuffle(order)
    shuffled = pd.concat([after.iloc[order], after.iloc[order[:3]]])
    assert compare(shuffled, "opera") == expected


def test_settings_are_never_pooled(sweep: Sweep) -> None:
    for seed in range(3):
        sweep.add("moco_v3", 90.0 + seed, seed=seed)
        sweep.add("opera", 91.0 + seed, seed=seed)
        sweep.add("opera", 80.0 + 2 * seed, seed=seed, mlp_layers=5)
    found = compare(sweep.frame(), "opera")
    top1 = {group.settings["mlp_layers"]: group for group in found.groups if group.fields["metric"] == "top1"}
    assert {layers: group.method_mean for layers, group in top1.items()} == {2: 92.0, 5: 82.0}
    ambiguous = compare(sweep.frame(), "moco_v3", "opera")
    assert ambiguous.groups == ()
    assert "2 runs of opera fit, which differ in mlp_layers" in {one.reason for one in ambiguous.unpaired}


def test_an_option_that_nobody_listed_separates_groups_and_is_shown(sweep: Sweep) -> None:
    for seed in range(2):
        sweep.add("moco_v3", 90.0 + seed, seed=seed)
        for temperature, top1 in ((0.1, 92.0), (0.2, 88.0)):
            sweep.add("mine", top1 + seed, seed=seed, temperature=temperature, backbone_lr=1)
    found = compare(sweep.frame(), "mine")
    top1 = {group.settings["temperature"]: group for group in found.groups if group.fields["metric"] == "top1"}
    assert {temperature: group.difference.mean for temperature, group in top1.items()} == {0.1: 2.0, 0.2: -2.0}
    table = render_comparison(found, "md").splitlines()
    assert "| temperature |" in table[2]
    assert "backbone lr" not in table[2], "all runs share it"
    ambiguous = compare(sweep.frame(), "moco_v3", "mine")
    assert "2 runs of mine fit, which differ in temperature" in {one.reason for one in ambiguous.unpaired}


def test_an_evaluators_option_that_nobody_listed_keeps_runs_apart_and_is_named(sweep: Sweep) -> None:
    for method, power in (("mine", 1), ("moco_v3", 2)):
        config = evaluation(pretraining(method), "probe", power=power)
        write_run(sweep.directory, config, metrics={"top1": 90.0})
    found = compare(sweep.frame(), "mine")
    assert found.groups == ()
    assert "the nearest moco_v3 run differs in protocol_power (1, there 2)" in {one.reason for one in found.unpaired}


def test_arrangements_are_variants_of_their_own(sweep: Sweep) -> None:
    for seed in range(2):
        sweep.add("opera", 96.0 + seed, seed=seed)
        sweep.add("opera", 95.0, seed=seed, arrangement="A")
    assert variants(sweep.frame()) == ("opera", "opera (A)")
    assert top1_group(compare(sweep.frame(), "opera", "opera (A)")).difference.mean == pytest.approx(1.5)


def test_unknown_variants_are_refused(sweep: Sweep) -> None:
    sweep.add("opera")
    with pytest.raises(InputError, match="did you mean 'opera'"):
        compare(sweep.frame(), "oprea", "opera")
    with pytest.raises(InputError, match="no evaluation of 'moco_v3'"):
        compare(sweep.frame(), "opera")
    with pytest.raises(InputError, match="with itself"):
        compare(sweep.frame(), "opera", "opera")


def test_rendering(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    rng = random.Random(0)
    for seed in range(3):
        sweep.add("opera", 96.0 + rng.random(), seed=seed)
        sweep.add("moco_v3", 91.0 + rng.random(), seed=seed)
    lonely = sweep.add("opera", seed=7)
    found = compare(sweep.frame(), "opera")
    group = top1_group(found)

    row = next(row for row in csv.DictReader(io.StringIO(render_comparison(found, "csv"))) if row["metric"] == "top1")
    assert float(row["difference"]) == group.difference.mean
    assert (row["n"], row["seeds"], row["wins"]) == ("3", "0 1 2", "3")
    document = json.loads(render_comparison(found, "json"))
    assert document["groups"][0]["low"] == group.difference.low
    assert document["unpaired"][0]["run_id"] == lonely
    for text in (render_comparison(found, "md"), render_comparison(found, "terminal")):
        assert f"+{group.difference.mean:.1f} [" in text
        assert "n = 3: opera better" in text
        assert lonely in text.replace("\n", "")
    with pytest.raises(InputError, match="allowed: terminal, md, csv, json"):
        render_comparison(found, "xml")
