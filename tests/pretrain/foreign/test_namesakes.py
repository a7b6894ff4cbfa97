"""Files of one name with different weights: never taken for each other, and noticed when one replaces another."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.plan.graph import plan_sweep
from bench.sweep.load import load_sweep
from pretrain.checkpoint import file_sha256
from tests.pretrain.foreign.conftest import SWEEP
from tests.robustness.standin import StandIn


def _imports(*entries: str) -> str:
    head, _, entry = SWEEP.partition("evaluate:")[0].partition("  -")
    return head + "".join(f"  -{entry}".format(checkpoint=place) for place in entries)


def _with_sha256(text: str, *files: Path) -> str:
    head, *entries = text.split("    as:")
    sums = [f"    sha256: {file_sha256(file)}\n" for file in files]
    return head + "".join(f"{one}    as:{entry}" for one, entry in zip(sums, entries, strict=True))


@pytest.fixture
def namesakes(released, tmp_path) -> tuple[Path, Path, Path]:
    """Two files of one name with different weights, and a copy of the first in a third directory."""
    content = torch.load(released, weights_only=True)
    paths = tuple(tmp_path / folder / released.name for folder in ("a", "b", "copy"))
    for path, factor in zip(paths, (1, 2, 1), strict=True):
        path.parent.mkdir()
        name = "module.base_encoder.cls_token"
        state = {**content["state_dict"], name: factor * content["state_dict"][name]}
        torch.save({**content, "state_dict": state}, path)
    return paths


def test_two_files_of_one_name_in_a_sweep_need_sha256(command, namesakes, write, tmp_path) -> None:
    first, second, copy = namesakes
    (tmp_path / "link").symlink_to(first.parent)
    relative = first.parent / ".." / "a" / first.name
    plan = plan_sweep(load_sweep(str(write(_imports(first, relative, tmp_path / "link" / first.name)))))
    assert len(plan.runs) == 1, "one file under three paths"
    part = write(_imports(first)).rename(tmp_path / "part.yaml")
    for text in (_imports(first, second), f"include: [{part}]\n{_imports(second)}"):
        status, _, err = command("plan", write(text), "--runs", tmp_path / "runs")
        assert status == 2
        assert f"checkpoints {first} and {second} have the same name" in err
        assert "add sha256: to both entries" in err
    plan = plan_sweep(load_sweep(str(write(_with_sha256(_imports(first, second, copy), *namesakes)))))
    assert len(plan.runs) == 2, "the copy is the first file"


def test_a_finished_import_is_not_taken_for_another_file_of_its_name(command, namesakes, write, tmp_path) -> None:
    first, second, copy = namesakes
    options = ("--runs", tmp_path / "runs", "--executor", "inline", "--yes")
    assert command("run", write(_imports(first)), *options)[0] == 0
    assert command("run", write(_imports(copy)), *options)[0] == 0, "the same bytes in another directory"
    status, out, err = command("run", write(_imports(second)), *options)
    assert (status, out) == (2, "")
    assert f"checkpoint {second}: its SHA-256 is not that of the file of this name" in err
    assert f"add sha256: {file_sha256(second)} to its entry" in err
    assert command("plan", write(_imports(second)), "--runs", tmp_path / "runs") == (2, "", err)
    assert command("run", write(_with_sha256(_imports(second), second)), *options)[0] == 0
    assert len(list(tmp_path.glob("runs/import-*/record.json"))) == 2
    first.unlink()
    assert command("run", write(_imports(first)), *options)[0] == 0, "a done import no longer needs its file"


def test_a_file_that_is_replaced_under_its_name_is_seen(command, namesakes, write, tmp_path) -> None:
    """``plan`` refuses it, as ``run`` does; ``status`` compares size and dates, and a SHA-256 that is known."""
    first, second, copy = namesakes
    sweep, runs = write(_imports(first)), ("--runs", tmp_path / "runs")
    assert command("run", sweep, *runs, "--executor", "inline", "--yes")[0] == 0

    def said(name: str) -> tuple[int, list[str]]:
        status, _, err = command(name, sweep, *runs)
        return status, [line for line in err.splitlines() if f"checkpoint {first}: " in line]

    assert said("status") == said("plan") == (0, [])
    copy.replace(first)
    status, lines = said("status")
    assert (status, len(lines)) == (0, 1)
    assert "its size, dates or inode have changed since it was read for import-" in lines[0]
    assert "opera-bench plan SWEEP" in lines[0]
    assert said("plan") == (0, []), "the same bytes"
    assert said("status") == (0, [])
    second.replace(first)
    status, lines = said("plan")
    assert (status, len(lines)) == (2, 1)
    assert "its SHA-256 is not that of the file of this name" in lines[0]
    status, lines = said("status")
    assert (status, len(lines)) == (0, 1)
    assert "its SHA-256 is not that of the file of this name which import-" in lines[0]
    first.unlink()
    assert said("plan") == said("status") == (0, []), "a done import no longer needs its file"


def test_a_queued_import_is_not_taken_for_another_file_of_its_name(
    command, namesakes, write, tmp_path, monkeypatch
) -> None:
    first, second, copy = namesakes
    monkeypatch.setenv("PATH", StandIn(tmp_path / "bin").environment["PATH"])
    cluster = "cluster: {name: site, hours: 2}\n"
    options = ("--runs", tmp_path / "runs", "--executor", "slurm", "--yes")
    for file in (first, first, copy):
        assert command("run", write(_imports(file) + cluster), *options)[0] == 0
    status, _, err = command("run", write(_imports(second) + cluster), *options)
    assert (status, f"add sha256: {file_sha256(second)} to its entry" in err) == (2, True), err
    assert command("run", write(_with_sha256(_imports(second), second) + cluster), *options)[0] == 0
