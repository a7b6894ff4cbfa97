"""Every way a sweep can be wrong ends in one line that names file, line and what is allowed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.plan.graph import plan_sweep
from bench.sweep.errors import InputError
from bench.sweep.load import load_sweep
from tests.bench.conftest import SWEEP
from tests.conftest import Ended

HEAD = "name: bad\n"
ENTRY = "pretrain:\n  - method: opera\n    backbone: tiny_vit\n    dataset: digits\n"
EMPTY = r"an empty list asks for nothing; give at least one value$"

BAD_SWEEPS = {
    "misspelt option": (
        HEAD + ENTRY + "    epoch: 3\n",
        r"bad\.yaml:6: unknown key 'epoch' for method opera; did you mean 'epochs'\? allowed: .*batch_size",
    ),
    "misspelt required key": (
        HEAD + ENTRY.replace("method", "metod"),
        r"bad\.yaml:3: unknown key 'metod'; did you mean 'method'\?",
    ),
    "misspelt top key": (HEAD + ENTRY + "tabels: []\n", r"bad\.yaml:6: unknown key 'tabels'; did you mean 'tables'"),
    "missing name": (ENTRY, r"bad\.yaml:1: name is missing"),
    "missing backbone": (HEAD + "pretrain:\n  - {method: opera}\n", r"bad\.yaml:3: .*backbone is missing"),
    "duplicate key": (HEAD + ENTRY + "    dataset: digits\n", r"bad\.yaml:6: key 'dataset' appears twice, .*:5"),
    "unknown method": (
        HEAD + ENTRY.replace("opera", "oprea"),
        r"bad\.yaml:3: unknown method 'oprea'; did you mean 'opera'\? allowed: .*moco_v3",
    ),
    "unknown backbone": (
        HEAD + ENTRY.replace("tiny_vit", "tiny_vti"),
        r"bad\.yaml:4: unknown backbone 'tiny_vti'; did you mean 'tiny_vit'",
    ),
    "unknown dataset": (
        HEAD + ENTRY.replace("digits", "digitz"),
        r"bad\.yaml:5: unknown dataset 'digitz'; did you mean 'digits'",
    ),
    "unknown data key": (HEAD + ENTRY + "data: {digitz: /x}\n", r"bad\.yaml:6: unknown dataset 'digitz'"),
    "unknown evaluator": (HEAD + ENTRY + "evaluate:\n  - prob\n", r"bad\.yaml:7: unknown evaluator 'prob'; .*'probe'"),
    "unknown table": (HEAD + ENTRY + "tables: [digit]\n", r"bad\.yaml:6: unknown table 'digit'; .*'digits'"),
    "unknown figure": (HEAD + ENTRY + "figures: [curve]\n", r"bad\.yaml:6: unknown figure 'curve'; .*'curves'"),
    "unknown recipe": (HEAD + ENTRY + "    recipe: nope\n", r"bad\.yaml:6: unknown recipe 'nope'"),
    "negative epochs": (
        HEAD + ENTRY + "    epochs: -1\n",
        r"bad\.yaml:6: epochs: .*greater than or equal to 0, not -1",
    ),
    "wrong type": (HEAD + ENTRY + "    batch_size: many\n", r"bad\.yaml:6: global_batch_size: .*not 'many'"),
    "alias twice": (
        HEAD + ENTRY + "    batch_size: 8\n    global_batch_size: 8\n",
        r"bad\.yaml:7: 'global_batch_size' is the same setting as 'batch_size'",
    ),
    "negative seed": (HEAD + ENTRY + "    seed: [0, -2]\n", r"bad\.yaml:6: .*seed.*not -2"),
    "bad arrangement": (HEAD + ENTRY + "    arrangement: D\n", r"bad\.yaml:6: arrangement: .*not 'D'"),
    "option of another method": (
        HEAD + ENTRY.replace("opera", "moco_v3") + "    arrangement: A\n",
        r"bad\.yaml:6: unknown key 'arrangement' for method moco_v3",
    ),
    "empty axis": (HEAD + ENTRY + "    epochs: []\n", rf"bad\.yaml:6: epochs: {EMPTY}"),
    "no seed": (HEAD + ENTRY + "    seed: []\n", rf"bad\.yaml:6: pretrain\.0\.seed: {EMPTY}"),
    "no method": (
        HEAD + ENTRY.replace("opera", "[]"),
        rf"bad\.yaml:3: pretrain\.0\.method: {EMPTY}",
    ),
    "no seed of an imported checkpoint": (
        HEAD
        + "pretrain:\n  - checkpoint: a.pth\n    format: opera\n"
        + "    as: {method: opera, backbone: tiny_vit, epochs: 1, batch_size: 8, seed: []}\n",
        rf"bad\.yaml:5: pretrain\.0\.as\.seed: {EMPTY}",
    ),
    "empty axis of an evaluator": (
        HEAD + ENTRY + "evaluate:\n  - probe:\n      epochs: []\n",
        rf"bad\.yaml:8: epochs: {EMPTY}",
    ),
    "empty filter": (
        HEAD + ENTRY + "evaluate:\n  - probe:\n      only: {backbone: []}\n",
        rf"bad\.yaml:8: only\.backbone: {EMPTY}",
    ),
    "merge key": (
        HEAD + ENTRY.replace("- method", "- &first\n    method") + "  - <<: *first\n    seed: 1\n",
        r"bad\.yaml:7: merge keys \(<<\) are not part of YAML 1\.2; write the keys out here",
    ),
    "evaluator option": (
        HEAD + ENTRY + "evaluate:\n  - probe:\n      epoch: 1\n",
        r"bad\.yaml:8: unknown key 'epoch' for evaluator probe; did you mean 'epochs'",
    ),
    "evaluator value": (
        HEAD + ENTRY + "evaluate:\n  - probe:\n      epochs: -1\n",
        r"bad\.yaml:8: probe: epochs: .*not -1",
    ),
    "filter key": (
        HEAD + ENTRY + "evaluate:\n  - probe:\n      only: {backbon: tiny_vit}\n",
        r"bad\.yaml:8: unknown key 'backbon'; did you mean 'backbone'",
    ),
    "filter value": (
        HEAD + ENTRY + "evaluate:\n  - probe:\n      except:\n        backbone: [tiny_vit, resnet5]\n",
        r"bad\.yaml:9: unknown backbone 'resnet5'; did you mean 'resnet50'",
    ),
    "two evaluators in one entry": (
        HEAD + ENTRY + "evaluate:\n  - {probe: {}, other: {}}\n",
        r"bad\.yaml:7: evaluate\.0: write the name of one evaluator",
    ),
    "not yaml": (HEAD + "pretrain: [\n", r"bad\.yaml:\d+: not valid YAML"),
    "python object": (HEAD + "x: !!python/object/apply:os.getcwd []\n", r"bad\.yaml:2: not plain YAML"),
    "no mapping": ("- a\n", r"bad\.yaml: a sweep is a mapping"),
    "key that is no word": (HEAD + ENTRY + "1: 2\n", r"bad\.yaml:6: a key must be a word"),
    "nested without end": (HEAD + "pretrain: &a [*a]\n", r"bad\.yaml:2: nested more than"),
    **{
        f"name {name!r}, which no file can have": (f"name: {json.dumps(name)}\n" + ENTRY, r"bad\.yaml:1: name: .*file")
        for name in ("", "a/b", "a\\b", "..", ".hidden", "-rf", " ahead", "behind ", "two\nlines", "ü" * 101)
    },
    "control character in a value": ('name: "\\e[0m"\n' + ENTRY, r"bad\.yaml:1: a control character, U\+001B"),
}


@pytest.mark.parametrize("case", BAD_SWEEPS)
def test_bad_sweep_is_refused_with_its_line(case: str, write_sweep: Callable[..., Path]) -> None:
    text, expected = BAD_SWEEPS[case]
    with pytest.raises(InputError) as refusal:
        plan_sweep(load_sweep(str(write_sweep(text, "bad.yaml"))))
    assert re.match(expected, str(refusal.value)), str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_command_line_prints_one_line_and_exits_with_2(command, write_sweep, tmp_path) -> None:
    ended = command("run", write_sweep(HEAD + ENTRY + "    epoch: 3\n"), "--runs", tmp_path / "runs")
    assert ended.status == 2
    assert ended.err.startswith("error: small.yaml:6: unknown key 'epoch'")
    assert ended.err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_unknown_sweep_name_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no sweep 'digit'.*did you mean 'digits'"):
        load_sweep("digit")
    with pytest.raises(InputError, match="no such sweep file"):
        load_sweep(str(tmp_path / "none.yaml"))


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("epochs", "--set epochs: not an assignment"),
        ("pretrain.7.epochs=2", r"--set pretrain\.7\.epochs=2: pretrain has no entry '7'; allowed: 0, \*"),
        ("evaluate.linaer.epochs=2", r"--set .*: evaluate has no entry 'linaer'; allowed: 0, probe, \*"),
        ("name.x=2", r"--set name\.x=2: name is the value 'small' and has no keys"),
        ("nmae=x", r"--set nmae=x: unknown key 'nmae'; did you mean 'name'"),
        ("pretrian.0.epochs=2", r"--set pretrian\.0\.epochs=2: unknown key 'pretrian'; did you mean 'pretrain'"),
        ("pretrain.0.epoch=2", r"--set pretrain\.0\.epoch=2: unknown key 'epoch'.*did you mean 'epochs'"),
        ("pretrain.*.epochs=-1", r"--set pretrain\.\*\.epochs=-1: epochs: .*not -1"),
        ("pretrain.0.seed=[", r"--set pretrain\.0\.seed=\[: not valid YAML"),
        ("name=!!str x", r"--set name=!!str x: not plain YAML \(tag"),
        ("name={a: 1, a: 2}", r"--set name=\{a: 1, a: 2\}: key 'a' appears twice"),
        ("name=\x01", r"--set name= : a control character, U\+0001"),
    ],
)
def test_bad_override_names_itself(assignment: str, expected: str, write_sweep: Callable[..., Path]) -> None:
    with pytest.raises(InputError) as refusal:
        plan_sweep(load_sweep(str(write_sweep(SWEEP)), (assignment,)))
    assert re.match(expected, str(refusal.value)), str(refusal.value)


@pytest.mark.parametrize(
    ("option", "assignment", "said"),
    [
        ("--set", "epochs=yes", "epochs: input should be a valid integer, not 'yes'"),
        ("--set", "optimizer.weight_decay=[1", "not valid YAML"),
        ("--set", "batch_size=-3", "global_batch_size: input should be greater than 1"),
        ("--set", "epoch=1", "unknown option 'epoch' for method moco_v3; did you mean 'epochs'"),
        ("--compute", "keep_last=[", "not valid YAML"),
        ("--compute", "keep_last=-1", "keep_last: must be 0"),
        ("--compute", "keep_last=true", "keep_last: must be a whole number, not True"),
        ("--compute", "keep=1", "keep: unknown key; did you mean 'keep_"),
    ],
)
def test_commands_without_a_sweep_name_the_assignment_too(
    option: str, assignment: str, said: str, command: Callable[..., Ended], tmp_path: Path
) -> None:
    what = ("--method", "moco_v3", "--backbone", "tiny_vit", "--dataset", "digits", "--runs", tmp_path / "runs")
    ended = command("pretrain", *what, option, assignment)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {option} {assignment}: {said}")
    assert not (tmp_path / "runs").exists()
