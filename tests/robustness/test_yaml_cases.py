"""Sweeps that no one can mean, through the real command line: one line, exit status 2, bounded time and memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.plan.graph import plan_sweep
from bench.sweep.errors import INPUT_ERRORS
from bench.sweep.load import load_sweep

CASES = Path(__file__).parents[1] / "cases" / "sweeps"
REASONS = {
    "bomb7.yaml": ("bomb7.yaml:5: ", "more than"),
    "ctrl.yaml": ("ctrl.yaml:1: ", "control character"),
    "nul.yaml": ("nul.yaml:1: ", "control character"),
    "deep_flow.yaml": ("deep_flow.yaml:2: ", "nested more than"),
    "int_empty.yaml": ("int_empty.yaml:2: ", "tag"),
    "float_empty.yaml": ("float_empty.yaml:2: ", "tag"),
    "timestamp_bad.yaml": ("timestamp_bad.yaml:2: ", "tag"),
    "seed_5000hex.yaml": ("seed_5000hex.yaml:2: ", "out of range"),
    "epochs_sexag.yaml": ("epochs_sexag.yaml:2: ", "valid integer, not '12:30'"),
    "lr_bool.yaml": ("lr_bool.yaml:2: ", "valid number, not 'yes'"),
    "cw_bool.yaml": ("cw_bool.yaml:2: ", "valid number, not 'on'"),
    "seed_str.yaml": ("seed_str.yaml:2: ", "valid integer, not '3'"),
    "seed_true.yaml": ("seed_true.yaml:2: ", "valid integer, not True"),
    "only_bad.yaml": ("only_bad.yaml:3: ", "'yes' is a word and matches no checkpoint"),
}
MEASURED = """
import resource, sys, time
from bench.cli import main
import bench.commands.plan, bench.launch.run_sweep, bench.hours.cost, bench.sweep.load
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
try:
    status = main()
except SystemExit as end:
    status = end.code
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(time.process_time() - start, used // 1024)
sys.exit(status)
"""


@pytest.mark.parametrize("name", REASONS)
def test_a_sweep_that_cannot_be_meant_costs_one_line(name: str, tmp_path: Path) -> None:
    place, reason = REASONS[name]
    ended = subprocess.run(
        [sys.executable, "-c", MEASURED, "plan", str(CASES / name), "--runs", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith(f"error: {place}")
    assert reason in ended.stderr
    seconds, mebibytes = map(float, ended.stdout.split())
    assert seconds < 1
    assert mebibytes < 200


def test_every_case_has_a_reason() -> None:
    assert {path.name for path in CASES.iterdir()} == set(REASONS)


def test_files_that_are_no_files_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    (tmp_path / "huge.yaml").write_text("a: b\n" * 300_000)
    (tmp_path / "latin.yaml").write_bytes("name: x\ndescription: caf\xe9\n".encode("latin-1"))
    for name, reason in {
        "pipe.yaml": "not a regular file",
        "folder.yaml": "not a regular file",
        "zero.yaml": "not a regular file",
        "huge.yaml": "larger than 64 KiB",
        "latin.yaml": "latin.yaml:2: can't be read",
        "n" * 5000 + ".yaml": "File name too long",
        "n" * 5000: "File name too long",
        "a\0b.yaml": "no such sweep",
    }.items():
        with pytest.raises(INPUT_ERRORS, match=reason):
            load_sweep(str(tmp_path / name))


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("seed: [1, 2, 1]", "seed: 1 appears twice"),
        ("epochs: [1, 1]", "epochs: 1 appears twice"),
        ("image_size: 1000000", "image_size: "),
        ("batch_size: 1000000000", "global_batch_size: "),
        ("mlp_layers: 100000", "mlp_layers: "),
        ("epochs: 1000000000000", "epochs: "),
        ("mlp_dimension: 1000000000", "mlp_dimension: "),
        ("seed: 4294967296", "seed.0: "),
        ("seed: 1.0", "seed.0: .*not 1.0"),
        ("epochs: 3.0", "epochs: .*not 3.0"),
        ("class_weight: '0.5'", "class_weight: .*not '0.5'"),
        ("optimizer: {decay_one_dimensional: 1}", "optimizer.decay_one_dimensional: .*not 1"),
    ],
)
def test_values_no_run_can_have_are_refused_with_their_line(entry: str, reason: str, tmp_path: Path) -> None:
    sweep = tmp_path / "s.yaml"
    sweep.write_text(
        f"name: s\npretrain:\n  - method: opera\n    backbone: tiny_vit\n    dataset: digits\n    {entry}\n"
    )
    with pytest.raises(INPUT_ERRORS, match=rf"s\.yaml:6: .*{reason}"):
        plan_sweep(load_sweep(str(sweep)))


def test_a_filter_that_matches_nothing_is_said(tmp_path: Path) -> None:
    sweep = tmp_path / "s.yaml"
    head = "name: s\npretrain: [{method: random_init, backbone: tiny_vit, dataset: digits}]\n"
    for entry, said in {
        "only: {seed: 7}": "s.yaml:3: only matches no checkpoint of this sweep; no knn runs",
        "except: {seed: 0}": "s.yaml:3: except matches every checkpoint; no knn runs",
        "except: {seed: 7}": "s.yaml:3: except matches no checkpoint of this sweep and changes nothing",
    }.items():
        sweep.write_text(f"{head}evaluate: [{{knn: {{{entry}}}}}]\n")
        assert plan_sweep(load_sweep(str(sweep))).notes == (said,)
