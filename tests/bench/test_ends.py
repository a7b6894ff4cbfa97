"""Runs that end without a record, damaged files, full disks: every command says the same of them."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.conftest import SWEEP, Engine
from tests.conftest import Ended

Command = Callable[..., Ended]
ONE = SWEEP.replace("[opera, moco_v3]", "moco_v3").replace("[0, 1]", "0")


@pytest.fixture
def sweep(tmp_path: Path, write_sweep: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_sweep(ONE)


def states(command: Command, sweep: Path) -> dict[str, tuple[str, str | None]]:
    jobs = json.loads(command("status", sweep, "--format", "json").out)["jobs"]
    return {job["stage"]: (job["state"], job["reason"]) for job in jobs}


def run(command: Command, sweep: Path, verb: str = "run") -> Ended:
    return command(verb, sweep, "--executor", "inline", "--yes")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_after_a_disk_error_the_same_command_goes_on(
    command: Command, sweep: Path, engine: Engine, number: int
) -> None:
    def fill(_: Path) -> None:
        raise RuntimeError("could not save") from OSError(number, os.strerror(number))

    engine.on_start = fill
    ended = run(command, sweep)
    assert ended.status == 1
    assert "the same command goes on" in ended.err
    assert states(command, sweep)["pretrain"][0] == "planned"
    engine.on_start = lambda _: None
    assert run(command, sweep).status == 0
    assert {state for state, _ in states(command, sweep).values()} == {"done"}


def test_a_damaged_record_is_told_everywhere_and_computed_again_by_retry(
    command: Command, sweep: Path, engine: Engine
) -> None:
    assert run(command, sweep).status == 0
    record = next(Path("runs").glob("pretrain-*/record.json"))
    content = record.read_bytes()
    record.write_bytes(content.replace(b'"loss": 1.0', b'"loss": 3.0'))
    assert states(command, sweep)["pretrain"][0] == "damaged"
    again = run(command, sweep)
    assert (again.status, "opera-bench retry" in again.err) == (1, True)
    assert "damaged" in command("tables", "digits").err
    assert command("report", sweep).status == 0
    assert ">damaged<" in Path("report.html").read_text(encoding="utf-8")
    assert len(engine.trained) == 1
    assert run(command, sweep, "retry").status == 0
    assert len(engine.trained) == 2
    assert record.with_name("record.json.damaged").exists()
    assert states(command, sweep)["pretrain"][0] == "done"


@pytest.mark.parametrize("content", [b"\x00\xff", b"[" * 100_000, None])
@pytest.mark.parametrize(
    "name", ["attempts.jsonl", "progress.jsonl", "record.json", "failure.json", "cancelled.json", "config.yaml"]
)
def test_one_damaged_file_breaks_no_listing(
    command: Command, sweep: Path, engine: Engine, name: str, content: bytes | None
) -> None:
    engine.fails = "pretrain-"
    run(command, sweep)
    path = next(Path("runs").glob("pretrain-*")) / name
    path.unlink(missing_ok=True)
    path.mkdir() if content is None else path.write_bytes(content)
    for verb in ("status", "plan", "report", "compare", "cancel --yes"):
        assert command(*verb.split(), sweep).status in (0, 1, 2), verb
    for verb in ("status", "tables", "figures"):
        assert command(verb).status in (0, 1), verb


def test_a_worker_killed_alone_has_failed_and_says_so(
    command: Command, sweep: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slurm.executors.local import LocalExecutor

    monkeypatch.setattr("bench.launch.jobs.find_executor", lambda _: lambda **__: LocalExecutor(workers=1))
    monkeypatch.setattr("bench.launch.jobs.WORKER", "tests.bench.killed")
    ended = command("run", sweep, "--yes")
    assert ended.status == 1
    state, reason = states(command, sweep)["pretrain"]
    assert (state, reason) == ("failed", f"killed by signal {signal.SIGKILL.value} (SIGKILL), perhaps out of memory")
    assert states(command, sweep)["probe"][0] == "failed"
    assert "nothing" not in command("run", sweep, "--yes", "--executor", "inline").out
    assert engine.trained == []
    assert run(command, sweep, "retry").status == 1 or engine.trained


def test_leftovers_of_dead_writers_and_of_finished_runs_go(command: Command, sweep: Path, engine: Engine) -> None:
    run(command, sweep)
    place = next(Path("runs").glob("pretrain-*"))
    (place / ".record.json.123.tmp").write_text("half")
    (place / "checkpoints" / "training_state.pt").write_text("state")
    assert run(command, sweep).status == 0
    assert not list(place.rglob("*.tmp"))
    assert not (place / "checkpoints" / "training_state.pt").exists()
