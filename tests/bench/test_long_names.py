"""A name that no file system holds ends every command that takes a path with one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.conftest import SWEEP
from tests.conftest import Ended

LONG = "x" * 256
SENTENCE = [
    ["checkpoint", "inspect", LONG],
    ["checkpoint", "convert", LONG, "--to", "timm", "--out", "out.pth"],
    ["checkpoint", "convert", "small.yaml", "--to", "timm", "--out", LONG],
    ["plan", LONG],
    ["plan", f"{LONG}.yaml"],
    ["plan", f"{LONG}/sweep.yaml"],
    ["plan", "small.yaml", "--runs", LONG],
    ["run", LONG],
    ["run", "small.yaml", "--runs", LONG, "--yes"],
    ["status", LONG],
    ["status", "--runs", LONG],
    ["status", "small.yaml", "--runs", LONG],
    ["logs", "a-run", "--runs", LONG],
    ["cancel", "small.yaml", "--runs", LONG],
    ["retry", "small.yaml", "--runs", LONG],
    ["tables", "--runs", LONG],
    ["figures", "--runs", LONG],
    ["compare", "--runs", LONG],
    ["report", "--runs", LONG],
    ["doctor", "--runs", LONG],
    ["data", "prepare", "cifar10", LONG],
]


@pytest.mark.parametrize("arguments", SENTENCE, ids=lambda arguments: " ".join(arguments).replace(LONG, "LONG"))
def test_a_name_that_is_too_long_is_one_sentence(
    arguments: list[str],
    command: Callable[..., Ended],
    write_sweep: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_sweep(SWEEP)
    monkeypatch.chdir(tmp_path)
    ended = command(*arguments)
    assert ended.status == 2
    assert ended.err.count("\n") == 1
    assert ended.err.startswith("error: ")
    assert LONG in ended.err
    assert "File name too long" in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


def test_data_check_counts_it_as_a_problem_of_the_data(command: Callable[..., Ended]) -> None:
    ended = command("data", "check", "imagenet", LONG)
    assert (ended.status, ended.err) == (1, "")
    assert ended.out.count("\n") == 1
    assert "File name too long" in ended.out
