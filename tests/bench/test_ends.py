"""Runs that end without a record, damaged files, full disks: every command says the same of them."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from results.record import read_record, record_text
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
    assert command("report", sweep).status == 1
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
    from slurm.executors.inline import InlineExecutor
    from slurm.executors.local import LocalExecutor

    for executor in (InlineExecutor, LocalExecutor):  # in this process, the worker would kill the test
        monkeypatch.setattr(executor, "create", lambda *_: LocalExecutor(workers=1))
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
    (place / "failure.json").write_text(json.dumps({"error": "OSError: can't remove a state", "attempt": 1}))
    assert run(command, sweep).status == 0
    assert not (place / "failure.json").exists()
    assert not list(place.rglob("*.tmp"))
    assert not (place / "checkpoints" / "training_state.pt").exists()


def edit_configuration(place: Path) -> None:
    (place / "record.json").unlink()
    path = place / "config.yaml"
    path.write_text(path.read_text().replace("seed: 0", "seed: 9"))


def lose_record(place: Path) -> None:
    (place / "record.json").unlink()
    (place / "record.json").symlink_to("nowhere")


def judge_another_checkpoint(place: Path) -> None:
    path = place / "record.json"
    record = read_record(path)
    parent = record.parents[0].model_copy(update={"checkpoint_sha256": "0" * 64})
    path.write_text(record_text(record.model_copy(update={"parents": (parent,)})))


def replace_directory(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def replace(place: Path) -> None:
        shutil.rmtree(place)
        make(place)

    return replace


@pytest.mark.parametrize(
    ("damage", "status_of_run"),
    [
        (edit_configuration, 2),
        (lose_record, 1),
        (judge_another_checkpoint, 1),
        (replace_directory(lambda place: place.write_text("no directory")), 1),
        (replace_directory(lambda place: place.symlink_to("nowhere")), 1),
        (replace_directory(lambda place: place.symlink_to(place.name)), 1),
    ],
    ids=["configuration", "record", "checkpoint", "file", "link to nowhere", "link to itself"],
)
def test_run_says_what_is_damaged_and_retry_computes_it_again(
    command: Command, sweep: Path, engine: Engine, damage: Callable[[Path], None], status_of_run: int
) -> None:
    assert run(command, sweep).status == 0
    place = next(Path("runs").glob("probe-*"))
    damage(place)
    again = run(command, sweep)
    assert (again.status, str(place.name) in again.err) == (status_of_run, True)
    assert "Traceback" not in again.err
    assert states(command, sweep)["probe"][0] == "damaged"
    retried = run(command, sweep, "retry")
    assert (retried.status, "set aside as" in retried.err) == (0, True)
    assert {state for state, _ in states(command, sweep).values()} == {"done"}
    assert len(engine.trained) == 1


@pytest.mark.parametrize("state", ["cancelled", "unknown"])
def test_run_does_not_end_well_beside_a_run_that_nothing_computes(
    command: Command, sweep: Path, engine: Engine, state: str
) -> None:
    assert run(command, sweep).status == 0
    place = next(Path("runs").glob("probe-*"))
    (place / "record.json").unlink()
    if state == "cancelled":
        (place / "cancelled.json").write_text("{}")
    else:
        (place / "attempts.jsonl").write_text(json.dumps({"host": "elsewhere"}) + "\n")
        for name in ("attempts.jsonl", "progress.jsonl"):
            os.utime(place / name, (0, 0))
    ended = run(command, sweep)
    assert ended.status == 1
    assert f"1 of 2 runs are {'lost' if state == 'unknown' else state}: opera-bench status" in ended.err
    assert run(command, sweep, "retry").status == 0


def test_a_record_of_another_release_stops_nobody_and_is_left_alone(
    command: Command, sweep: Path, engine: Engine
) -> None:
    run(command, sweep)
    evaluation = next(Path("runs").glob("probe-*/record.json"))
    newer = b'{"schema_version": 99}'
    evaluation.write_bytes(newer)
    told = command("status", sweep)
    assert (told.status, "upgrade opera-bench" in told.out + told.err) == (1, True)
    assert "opera-bench retry" not in told.out + told.err
    assert "opera-bench retry" not in command("plan", sweep).err
    pretraining = next(Path("runs").glob("pretrain-*/record.json"))
    pretraining.write_bytes(pretraining.read_bytes().replace(b'"loss": 1.0', b'"loss": 3.0'))
    assert "opera-bench retry" in command("status", sweep).out
    assert run(command, sweep, "retry").status == 1
    assert states(command, sweep)["pretrain"][0] == "done", "one run's record stops no other run"
    assert evaluation.read_bytes() == newer


def test_a_run_that_is_done_gets_no_note_of_failure(
    command: Command, sweep: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "training_state.pt")

    monkeypatch.setattr("bench.worker.run_job.discard_training_state", refuse)
    ended = run(command, sweep)
    assert ended.status == 1
    assert "interrupted pretrain-" in ended.err
    assert not list(Path("runs").glob("*/failure.json"))
