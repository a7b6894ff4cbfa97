"""The processes of a SLURM job find each other, and nobody else's."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("submitit")

from submitit import JobEnvironment

from slurm.scheduler.meeting import join_group

FOREIGN = {
    "MASTER_ADDR": "elsewhere",
    "MASTER_PORT": "29500",
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "5",
    "LOCAL_WORLD_SIZE": "8",
    "GROUP_RANK": "1",
    "NODE_RANK": "1",
    "TORCHELASTIC_RUN_ID": "theirs",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
}


def surroundings(folder: Path, job_id: str, rank: int, size: int = 2, **more: str) -> dict[str, str]:
    slurm = {"JOB_ID": job_id, "NTASKS": size, "JOB_NUM_NODES": 1, "NODEID": 0, "PROCID": rank, "LOCALID": rank}
    told = {f"SLURM_{name}": str(value) for name, value in slurm.items()}
    return {
        **told,
        "SUBMITIT_EXECUTOR": "slurm",
        "SUBMITIT_FOLDER": str(folder),
        "OPERA_BENCH_ATTEMPT": "first",
        **FOREIGN,
        **more,
    }


def meet(environment: dict[str, str], answer: Connection) -> None:
    """One process of a job: send where it meets the others, and leave when told to."""
    os.environ.update(environment)
    with join_group(JobEnvironment()):
        answer.send({name: os.environ.get(name) for name in (*FOREIGN, "MASTER_LISTEN_FD", "PROCESS_GROUP_NAME")})
        answer.recv()


def meetings(processes: list[dict[str, str]]) -> list[dict[str, Any]]:
    """What processes of these environments, all under way at once, take for their group."""
    context = multiprocessing.get_context("fork")
    started = []
    for environment in processes:
        ours, theirs = context.Pipe()
        process = context.Process(target=meet, args=(environment, theirs), daemon=True)
        process.start()
        started.append((process, ours))
    said = []
    for _, connection in started:
        assert connection.poll(30)
        said.append(connection.recv())
    for process, connection in started:
        connection.send("leave")
        process.join(30)
        assert process.exitcode == 0
    return said


def test_two_jobs_on_one_node_meet_at_two_ports_whatever_their_shell_says(tmp_path: Path) -> None:
    jobs = ["12", "13"]
    said = meetings([surroundings(tmp_path, job, rank) for job in jobs for rank in (1, 0)])
    ports = [group["MASTER_PORT"] for group in said]
    assert ports[0] == ports[1] != ports[2] == ports[3]
    assert FOREIGN["MASTER_PORT"] not in ports
    for group, rank in zip(said, (1, 0, 1, 0), strict=True):
        assert (group["RANK"], group["WORLD_SIZE"], group["LOCAL_WORLD_SIZE"]) == (str(rank), "2", "2")
        assert not [name for name, value in group.items() if value and name.startswith(("TORCHEL", "GROUP", "NODE"))]
    assert [group["PROCESS_GROUP_NAME"] for group in said[1:3]] == [
        "SLURM job 12, start first",
        *["SLURM job 13, start first"],
    ]
    assert not list(tmp_path.iterdir()), "what told the ports is gone with the processes"


def test_a_job_that_starts_again_does_not_read_where_it_met_before(tmp_path: Path) -> None:
    """Its number is the same; slurmctld may even have forgotten that it counted a restart."""
    old = tmp_path / "meeting-12-first.json"
    old.write_text(json.dumps({"hosts": ["localhost"], "port": 1}))
    said = meetings([surroundings(tmp_path, "12", rank, OPERA_BENCH_ATTEMPT="second") for rank in (1, 0)])
    assert said[0]["MASTER_PORT"] == said[1]["MASTER_PORT"] != "1"
    assert old.exists()


def test_nobody_else_can_take_the_port_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    os.environ.update(surroundings(tmp_path, "12", 0))
    with join_group(JobEnvironment()):
        port, descriptor = int(os.environ["MASTER_PORT"]), int(os.environ["MASTER_LISTEN_FD"])
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("", port))
        os.close(descriptor)


def test_a_name_of_the_node_that_leads_nowhere_is_passed_over(tmp_path: Path) -> None:
    said = meetings([surroundings(tmp_path, "12", rank, SLURMD_NODENAME="no.such.host.invalid") for rank in (1, 0)])
    assert said[0]["MASTER_ADDR"] == socket.gethostname()


def test_one_sentence_says_that_rank_0_never_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    os.environ.update(surroundings(tmp_path, "12", 1))
    said = r"rank 0 has not written its address within 0\.3 s"
    with pytest.raises(TimeoutError, match=said), join_group(JobEnvironment(), seconds_to_meet=0.3):
        pass


def test_a_single_process_meets_nobody(tmp_path: Path) -> None:
    (said,) = meetings([surroundings(tmp_path, "12", 0, size=1)])
    assert (said["RANK"], said["WORLD_SIZE"], said["LOCAL_RANK"]) == ("0", "1", "0")
    assert said["MASTER_PORT"] is said["MASTER_ADDR"] is said["TORCHELASTIC_RUN_ID"] is None
