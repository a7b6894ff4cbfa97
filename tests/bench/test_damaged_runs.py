"""A runs directory that holds one damaged run beside sound ones: every command says so, and none stops."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.worker.stages import forget_other_checkpoint
from results.index import load_rows
from results.record import ParentReference, read_record, record_text
from results.runs import RunDirectory, RunState
from results.store import load_runs
from tests.conftest import Ended
from tests.results.synthetic import evaluation, pretraining, write_run

Command = Callable[..., Ended]
FIRST, SECOND = pretraining(seed=0), pretraining("moco_v3", seed=0)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two methods, each pretrained and judged, and one more pretraining that is only planned."""
    directory = tmp_path / "runs"
    for subject in (FIRST, SECOND):
        parent = write_run(directory, subject)
        write_run(directory, evaluation(subject), parents=(parent,))
    write_run(directory, pretraining(seed=5), state="planned")
    return directory


def find(runs: Path, prefix: str, suffix: str = "") -> Path:
    return next(path for path in sorted(runs.iterdir()) if path.name.startswith(prefix) and suffix in path.name)


def planned(runs: Path) -> Path:
    return find(runs, "pretrain-opera", "-s5-")


def done(runs: Path) -> Path:
    return find(runs, "linear-opera")


def edit_configuration(runs: Path) -> Path:
    path = planned(runs) / "config.yaml"
    path.write_text(path.read_text().replace("seed: 5", "seed: 6"))
    return path.parent


def replace_by_file(runs: Path) -> Path:
    place = done(runs)
    shutil.rmtree(place)
    place.write_text("no directory")
    return place


def replace_by_link(target: str) -> Callable[[Path], Path]:
    def replace(runs: Path) -> Path:
        place = done(runs)
        shutil.rmtree(place)
        place.symlink_to(target.format(name=place.name))
        return place

    return replace


def replace_by_fifo(runs: Path) -> Path:
    place = done(runs)
    shutil.rmtree(place)
    os.mkfifo(place)
    return place


def replace_file(name: str, content: bytes | None, of: Callable[[Path], Path] = done) -> Callable[[Path], Path]:
    """Of a run; None stands for a link to nowhere."""

    def replace(runs: Path) -> Path:
        path = of(runs) / name
        path.unlink()
        path.symlink_to("nowhere") if content is None else path.write_bytes(content)
        return path.parent

    return replace


def replace_by_directory(runs: Path) -> Path:
    path = done(runs) / "record.json"
    path.unlink()
    path.mkdir()
    return path.parent


def flip_record(runs: Path) -> Path:
    path = done(runs) / "record.json"
    path.write_bytes(path.read_bytes().replace(b"90.0", b"91.0"))
    return path.parent


def replace_checkpoint(part: str) -> Callable[[Path], Path]:
    """The parent of a finished evaluation leaves another checkpoint, or another header of it."""

    def replace(runs: Path) -> Path:
        path = find(runs, "pretrain-opera", "-s0-") / "record.json"
        record = read_record(path)
        (checkpoint,) = record.checkpoints
        other = checkpoint.model_copy(update={part: "0" * 64})
        path.write_text(record_text(record.model_copy(update={"checkpoints": (other,)})))
        return done(runs)

    return replace


KINDS: dict[str, Callable[[Path], Path]] = {
    "edited configuration": edit_configuration,
    "configuration of zeros": replace_file("config.yaml", b"\0" * 100, planned),
    "configuration is a link to nowhere": replace_file("config.yaml", None, planned),
    "empty configuration": replace_file("config.yaml", b"", planned),
    "flipped record": flip_record,
    "empty record": replace_file("record.json", b""),
    "record is a link to nowhere": replace_file("record.json", None),
    "record is a directory": replace_by_directory,
    "record of a newer schema": replace_file("record.json", b'{"schema_version": 99}'),
    "directory is a file": replace_by_file,
    "directory is a link to nowhere": replace_by_link("nowhere"),
    "directory is a link to itself": replace_by_link("{name}"),
    "directory is a FIFO": replace_by_fifo,
    "evaluation of another checkpoint": replace_checkpoint("sha256"),
    "evaluation of another header": replace_checkpoint("header_sha256"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_command_shows_one_damaged_run_and_the_others(
    kind: str, command: Command, runs: Path, tmp_path: Path
) -> None:
    before = {run.run_id for run in load_runs(runs).runs}
    load_rows(runs)  # leaves an index from before the damage
    run_id = KINDS[kind](runs).name
    for _ in range(2):
        found = {row["run_id"]: row["state"] for row in load_rows(runs)[0]}
        assert found.keys() == before
        assert [name for name, state in found.items() if state == RunState.DAMAGED] == [run_id]

    listed = command("status", "--runs", runs, "--format", "json")
    states = {job["run_id"]: (job["state"], job["reason"]) for job in json.loads(listed.out)["jobs"]}
    assert states.keys() == before
    assert {name for name, (state, _) in states.items() if state == "damaged"} == {run_id}
    reason = states[run_id][1]
    assert reason

    shown = command("status", "--runs", runs)
    assert (listed.status, shown.status) == (1, 1)
    assert f"damaged {run_id}: " in shown.out
    assert "all done" not in shown.out

    logs = command("logs", run_id, "--runs", runs)
    assert logs.status == 1
    assert f"{run_id}: damaged: {reason}" in logs.err
    assert ("has not started" in logs.err) is ("configuration" in kind), "only that run has neither attempt nor record"

    page = tmp_path / "report.html"
    for verb in (("tables",), ("report", "--out", page), ("compare",), ("figures", "methods", "--out", tmp_path)):
        ended = command(*verb, "--runs", runs)
        assert ended.status in ((1, 2) if verb == ("compare",) else (1,)), (verb, ended)
        assert f"{run_id} is damaged: {reason}" in ended.err, verb
    assert ">damaged<" in page.read_text(encoding="utf-8")
    assert command("cancel", run_id, "--runs", runs, "--yes").status == 0


def test_numbers_of_an_evaluation_of_another_checkpoint_are_in_no_table(command: Command, runs: Path) -> None:
    table = ("tables", "digits", "--runs", runs, "--format", "json")
    assert "90.0" in str(json.loads(command(*table).out))
    for subject in ("opera", "moco_v3"):
        path = find(runs, f"pretrain-{subject}", "-s0-") / "record.json"
        record = read_record(path)
        checkpoints = (record.checkpoints[0].model_copy(update={"sha256": "0" * 64}),)
        path.write_text(record_text(record.model_copy(update={"checkpoints": checkpoints})))
    cells = [cell for row in json.loads(command(*table).out)["rows"] for cell in row["cells"].values()]
    assert all(cell["mean"] is None for cell in cells)
    assert any(cell["state"] == "damaged" for cell in cells)


def test_a_parent_that_is_computed_again_says_nothing_until_it_has_a_record(runs: Path) -> None:
    (find(runs, "pretrain-opera", "-s0-") / "record.json").unlink()
    assert {run.run_id: run.state for run in load_runs(runs).runs}[done(runs).name] is RunState.DONE


def test_a_state_of_an_evaluation_of_another_checkpoint_is_not_continued(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "linear-x-0123456789")
    run.path.mkdir()
    first = ParentReference(run_id="pretrain-x-0123456789", checkpoint_sha256="1" * 64, header_sha256="2" * 64)
    state = run.checkpoints / "training_state.pt"
    forget_other_checkpoint(run, first)
    for change, is_kept in (({}, True), ({"checkpoint_sha256": "3" * 64}, False), ({"header_sha256": "4" * 64}, False)):
        state.write_text("half an evaluation")
        forget_other_checkpoint(run, first.model_copy(update=change))
        assert state.exists() is is_kept


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that any user can read; ``tmp_path`` belongs to the one that runs the tests."""
    path = Path(tempfile.mkdtemp(prefix="opera-bench-runs-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize("mode", [0o000, 0o600])
def test_a_directory_that_this_user_may_not_read_is_listed(mode: int, command: Command, open_directory: Path) -> None:
    write_run(open_directory, pretraining(seed=1))
    closed = write_run(open_directory, pretraining(seed=2))
    command("status", "--runs", open_directory)  # imports all it needs
    (open_directory / closed).chmod(mode)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        listed = command("status", "--runs", open_directory, "--format", "json")
    finally:
        os.seteuid(user)
        (open_directory / closed).chmod(0o755)
    states = {job["run_id"]: job for job in json.loads(listed.out)["jobs"]}
    assert sorted(job["state"] for job in states.values()) == ["damaged", "done"]
    assert "can't be read (Permission denied)" in states[closed]["reason"]
    assert listed.status == 1


def test_a_run_that_has_begun_and_lost_its_configuration_is_listed(command: Command, runs: Path) -> None:
    place = planned(runs)
    (place / "failure.json").write_text(json.dumps({"error": "no luck"}))
    (place / "config.yaml").unlink()
    listed = command("status", "--runs", runs, "--format", "json")
    states = {job["run_id"]: job["state"] for job in json.loads(listed.out)["jobs"]}
    assert states[place.name] == "failed"
    assert {row["run_id"]: row["state"] for row in load_rows(runs)[0]} == states


def test_a_directory_of_somebody_else_is_passed_over_and_said(command: Command, runs: Path) -> None:
    (runs / "hydra").mkdir()
    (runs / "hydra" / "config.yaml").write_text("defaults: [a]\n")
    listed = command("status", "--runs", runs)
    assert (listed.status, "hydra" in listed.out) == (0, False)
    assert f"skipped: {runs}/hydra/config.yaml: not a run's configuration" in listed.err


def test_a_report_of_nothing_says_what_to_type(command: Command, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    ended = command("report", "--runs", tmp_path / "runs", "--out", tmp_path / "page.html")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err == f"note: {tmp_path}/runs holds no run: opera-bench run SWEEP --runs {tmp_path}/runs\n"
    assert not (tmp_path / "page.html").exists()


def test_a_checkpoint_of_an_older_configuration_is_one_sentence(command: Command, tmp_path: Path) -> None:
    """The made-up configuration lacks most fields of today's."""
    run_id = write_run(tmp_path, pretraining())
    ended = command("evaluate", "knn", run_id, "--runs", tmp_path)
    assert ended.status == 2
    assert f"error: {tmp_path}/{run_id}/config.yaml: it was planned by another version of opera-bench (" in ended.err
    assert "pretrain again" in ended.err
    assert len(ended.err.splitlines()) == 1
