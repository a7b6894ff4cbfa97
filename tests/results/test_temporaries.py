"""Temporary files: those of a living writer stay, those of a dead one go, wherever beneath the runs directory."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from results.index import load_rows
from results.runs import RunDirectory, write_atomically
from results.temporaries import open_locked, remove_temporaries
from tests.results.synthetic import pretraining, write_run

WRITER = """
import os, sys, time
from pathlib import Path
from results.temporaries import open_locked
file = open_locked(Path(sys.argv[1]))
file.write("half")
print("writing", flush=True)
time.sleep(60)
"""
PLACES = (
    ".index.json.1.tmp",
    ".sweeps/.digits.json.1.tmp",
    "report/digits/.report.html.1.tmp",
    "report/digits/tables/.table1.md.1.tmp",
    "pretrain-a/.record.json.1.tmp",
    "pretrain-a/checkpoints/.training_state.pt.tmp",
    "pretrain-a/artifacts/deep/.last_checkpoint.tmp",
    ".slurm/.queue.json.1.tmp",
)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """A temporary file, and another process that is writing it."""
    path = tmp_path / "runs" / "report" / ".page.html.5.tmp"
    path.parent.mkdir(parents=True)
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    yield path, process
    process.kill()
    process.wait()


@pytest.mark.parametrize("place", PLACES)
def test_a_dead_writers_file_goes_wherever_it_lies(place: str, tmp_path: Path) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("half")
    (path.parent / "kept.tmp").write_text("a file of somebody else")
    if place.startswith("pretrain-a/"):
        (tmp_path / "pretrain-a" / "config.yaml").touch()
    remove_temporaries(tmp_path)
    assert [found.name for found in tmp_path.rglob("*.tmp")] == ["kept.tmp"]


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "project" / "deep" / ".notes.tmp"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("a file of somebody else")
    remove_temporaries(tmp_path)
    assert theirs.exists()


def test_a_living_writers_file_stays_until_the_writer_is_killed(writer: tuple[Path, subprocess.Popen[str]]) -> None:
    path, process = writer
    remove_temporaries(path.parents[1])
    assert path.exists()
    process.kill()
    process.wait()
    remove_temporaries(path.parents[1])
    assert not path.exists()


def test_nothing_of_a_run_that_is_held_goes(tmp_path: Path) -> None:
    state = tmp_path / "pretrain-a" / "checkpoints" / ".training_state.pt.tmp"
    state.parent.mkdir(parents=True)
    state.write_text("half")
    with RunDirectory(tmp_path / "pretrain-a").claim():
        remove_temporaries(tmp_path)
        assert state.exists()
    remove_temporaries(tmp_path)
    assert not state.exists()


def test_whoever_writes_the_index_removes_halves_of_it(tmp_path: Path) -> None:
    write_run(tmp_path, pretraining(), metrics={"loss": 1.5})
    (tmp_path / ".index.json.1.tmp").write_text("half")
    load_rows(tmp_path)
    assert (tmp_path / ".index.json").exists()
    assert not list(tmp_path.glob("*.tmp"))


def test_a_writer_whose_file_is_removed_before_it_is_locked_begins_again(tmp_path: Path) -> None:
    """Two writers of one process share a temporary file's name: the second one's lock comes when the file is gone."""
    final, texts = tmp_path / "file", ["a" * 100_000, "b" * 100_000]
    threads = [threading.Thread(target=write_atomically, args=(final, text)) for text in texts * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert final.read_text() in texts
    assert list(tmp_path.iterdir()) == [final]


def test_a_lock_is_taken_on_the_file_that_the_path_names(tmp_path: Path) -> None:
    path = tmp_path / ".file.tmp"
    with open_locked(path) as file:
        assert Path(f"/proc/self/fd/{file.fileno()}").resolve() == path
