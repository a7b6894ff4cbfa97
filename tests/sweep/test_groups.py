"""Groups of rows and optional entries: which runs a choice plans, in included sweeps and in miniature, and what it
refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.plan.graph import plan_sweep
from bench.show.plan import summary
from bench.sweep.errors import InputError
from bench.sweep.load import load_sweep
from bench.sweep.model import Sweep

GROUPED = """\
name: grouped
pretrain:
  - {method: opera, backbone: vit_small, epochs: 300}
evaluate: [linear]
groups:
  near:
    pretrain:
      - {method: moco_v3, backbone: vit_small, epochs: [150, 300]}
    evaluate:
      - finetune: {epochs: 100}
  far:
    pretrain:
      - {method: byol, backbone: resnet50, epochs: 1000}
      - {method: beit, backbone: beit_base, epochs: 800, tokenizer_sha256: "${GROUPS_TOKEN}", optional: true}
    evaluate:
      - similarity: {only: {method: beit}}
tables: [table1]
"""
OWN = ["pretrain opera", "linear opera"]
NEAR = ["pretrain moco_v3", "pretrain moco_v3", "finetune moco_v3", "finetune moco_v3"]
FAR = ["pretrain byol"]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Sweep]:
    monkeypatch.delenv("GROUPS_TOKEN", raising=False)
    (tmp_path / "grouped.yaml").write_text(GROUPED)
    (tmp_path / "whole.yaml").write_text("name: whole\ninclude: [grouped.yaml]\n")

    def write(name: str, *overrides: str, text: str | None = None, tiny: bool = False) -> Sweep:
        if text is not None:
            (tmp_path / f"{name}.yaml").write_text(text)
        return load_sweep(str(tmp_path / f"{name}.yaml"), overrides, tiny=tiny)

    return write


def planned(sweep: Sweep) -> list[str]:
    return sorted(f"{run.stage} {run.config['pretrain']['method']}" for run in plan_sweep(sweep).runs)


@pytest.mark.parametrize("name", ["grouped", "whole"])
@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), OWN),
        (("rows=own",), OWN),
        (("rows=near",), NEAR),
        (("rows=far",), FAR),
        (("rows=all",), OWN + NEAR + FAR),
    ],
)
def test_rows_choose_groups_with_their_own_evaluations(
    name: str, overrides: tuple[str, ...], expected: list[str], load: Callable[..., Sweep]
) -> None:
    assert planned(load(name, *overrides)) == sorted(expected)


def test_own_runs_keep_their_ids_beside_groups(load: Callable[..., Sweep]) -> None:
    own = plan_sweep(load("grouped")).run_ids
    alone = plan_sweep(load("alone", text=GROUPED[: GROUPED.index("groups:")])).run_ids
    assert own == alone == plan_sweep(load("grouped", "rows=all")).run_ids[: len(own) - 1] + own[-1:]


def test_a_file_says_which_rows_it_runs_and_the_including_sweep_goes_before_it(load: Callable[..., Sweep]) -> None:
    load("grouped", text=f"rows: near\n{GROUPED}")
    assert planned(load("grouped")) == sorted(NEAR)
    assert planned(load("whole")) == sorted(NEAR)
    assert planned(load("whole", "rows=own")) == sorted(OWN)
    including = "name: other\nrows: far\ninclude: [grouped.yaml]\n"
    assert planned(load("other", text=including)) == sorted(FAR)


def test_a_sweep_that_does_not_know_the_group_keeps_its_rows(load: Callable[..., Sweep]) -> None:
    """``mine`` is a group of the including sweep alone, ``near`` of the included one alone."""
    mine = "pretrain: [{method: simclr, backbone: resnet50, epochs: 100}]"
    also = "pretrain: [{method: simsiam, backbone: resnet50, epochs: 100}]"
    text = f"name: both\ninclude: [grouped.yaml]\n{mine}\ngroups: {{mine: {{{also}}}}}\n"
    assert planned(load("both", "rows=mine", text=text)) == sorted([*OWN, "pretrain simsiam"])
    assert planned(load("both", "rows=near")) == sorted([*NEAR, "pretrain simclr"])


def test_tiny_runs_all_rows_unless_told_otherwise(load: Callable[..., Sweep]) -> None:
    runs = plan_sweep(load("whole", tiny=True)).runs
    assert {run.config["pretrain"]["method"] for run in runs} == {"opera", "moco_v3", "byol"}
    assert {run.config["pretrain"]["dataset"] for run in runs} == {"digits"}
    assert planned(load("whole", "rows=own", tiny=True)) == sorted(OWN)
    load("grouped", text=f"rows: near\n{GROUPED}")
    assert planned(load("grouped", tiny=True)) == sorted(NEAR)


def test_assignments_reach_chosen_groups(load: Callable[..., Sweep]) -> None:
    runs = plan_sweep(load("whole", "rows=all", "pretrain.*.epochs=7", "evaluate.finetune.epochs=3")).runs
    assert {run.config["pretrain"]["epochs"] for run in runs} == {7}
    assert {run.config["evaluator"]["epochs"] for run in runs if run.stage == "finetune"} == {3}
    only_near = plan_sweep(load("whole", "rows=all", "groups.near.pretrain.0.epochs=9")).runs
    assert {(run.config["pretrain"]["method"], run.config["pretrain"]["epochs"]) for run in only_near} == {
        ("opera", 300),
        ("moco_v3", 9),
        ("byol", 1000),
    }
    for chosen in ((), ("rows=own",)):
        with pytest.raises(InputError, match="group near is not chosen; add --set rows=near, or rows=all"):
            load("whole", *chosen, "groups.near.pretrain.0.epochs=9")


def test_an_optional_entry_is_left_out_until_its_variable_is_set(
    load: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filter that chooses a checkpoint that is left out is neither a mistake nor idle."""
    assert plan_sweep(load("whole", "rows=far")).notes == (
        "grouped.yaml:14: beit is left out: tokenizer_sha256 needs the environment variable GROUPS_TOKEN, which isn't "
        "set",
    )
    assigned = load("whole", "rows=far", f"groups.far.pretrain.1.tokenizer_sha256={'0' * 64}")
    assert planned(assigned) == ["pretrain beit", "pretrain byol", "similarity beit"]
    monkeypatch.setenv("GROUPS_TOKEN", "0" * 64)
    assert plan_sweep(load("whole", "rows=far")) == plan_sweep(assigned)
    assert not plan_sweep(assigned).notes


def test_a_sweep_of_optional_entries_alone_says_what_to_set(load: Callable[..., Sweep]) -> None:
    entry = "{checkpoint: '${GROUPS_TOKEN}/a.pth', format: moco_v3, optional: true, as: {method: other, backbone: "
    text = f"name: none\npretrain:\n  - {entry}vit_small, epochs: 1, batch_size: 1}}}}\n"
    text += "evaluate: [{knn: {only: {method: other}}}]\n"
    with pytest.raises(InputError, match=r"none\.yaml: nothing to run\. none\.yaml:3: other is left out: checkpoint "):
        plan_sweep(load("none", text=text))


def test_groups_are_no_included_sweeps(load: Callable[..., Sweep]) -> None:
    assert "included sweeps" not in summary(plan_sweep(load("grouped", "rows=all")))


@pytest.mark.parametrize(
    ("name", "overrides", "expected"),
    [
        (
            "grouped",
            ("rows=nera",),
            r"--set rows=nera: rows: no group 'nera'; did you mean 'near'\? allowed: own, near, ",
        ),
        ("whole", ("rows=x",), r"--set rows=x: rows: no group 'x'; allowed: own, near, far, all"),
        ("grouped", ("rows=[near]",), r"--set rows=\[near\]: rows: input should be a valid string"),
        ("grouped", ("groups.nera.pretrain.0.epochs=3",), r"--set groups\.nera.*no group 'nera'; did you mean 'near'"),
        ("alone", ("rows=all",), r"--set rows=all: rows: alone has no groups of rows"),
        ("alone", ("groups.a.pretrain.0.seed=3",), r"--set groups\.a.*: no such entry in this sweep, its groups and"),
        ("own", (), r"own\.yaml:3: groups\.own: a group's name has letters, digits, - and _, and is not own"),
        ("key", (), r"key\.yaml:3: unknown key 'pretrian'; did you mean 'pretrain'"),
        ("method", (), r"method\.yaml:3: unknown method 'operra'"),
        ("rows", (), r"rows\.yaml:2: rows: no group 'b'; allowed: own, a, all"),
    ],
)
def test_a_bad_group_is_refused_with_its_place(
    name: str, overrides: tuple[str, ...], expected: str, load: Callable[..., Sweep], tmp_path: Path
) -> None:
    own = "pretrain: [{method: opera, backbone: vit_small}]"
    for other, rest in {
        "alone": "",
        "own": f"groups: {{own: {{{own}}}}}",
        "key": f"groups: {{a: {{{own.replace('pretrain', 'pretrian')}}}}}",
        "method": f"groups: {{a: {{{own.replace('opera', 'operra')}}}}}",
    }.items():
        (tmp_path / f"{other}.yaml").write_text(f"name: {other}\n{own}\n{rest}\n")
    (tmp_path / "rows.yaml").write_text(f"name: rows\nrows: b\n{own}\ngroups: {{a: {{{own}}}}}\n")
    with pytest.raises(InputError) as refusal:
        load(name, *overrides)
    assert re.match(expected, str(refusal.value)), str(refusal.value)
