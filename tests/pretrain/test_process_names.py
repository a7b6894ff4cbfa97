"""Processes of different runs, jobs or attempts that meet at one port do not train together."""

from __future__ import annotations

import multiprocessing
import os
import socket
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

import pytest
import torch
from torch.distributed import TCPStore

from pretrain import distributed
from pretrain.distributed import ForeignProcessError, process_group
from tests.processes import SECONDS_TO_FINISH

FOREIGN = "they must not train together"


def come(rank: int, size: int, name: str, port: int, descriptor: int | None, answer: Connection) -> None:
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(size), MASTER_ADDR="localhost", MASTER_PORT=str(port))
    os.environ |= {} if descriptor is None else {"MASTER_LISTEN_FD": str(descriptor)}
    try:
        with process_group(torch.device("cpu"), name):
            total = torch.tensor([rank + 1.0])
            torch.distributed.all_reduce(total)
            answer.send(str(total.item()))
    except (ForeignProcessError, TimeoutError) as error:
        answer.send(str(error))


def all_that_came(*processes: tuple[int, int, str]) -> list[str]:
    """What each of ``(rank, size, name)`` computed, or why it stopped; they start one after the other."""
    listening = socket.create_server(("", 0))
    port = listening.getsockname()[1]
    context = multiprocessing.get_context("fork")
    started: list[tuple[Any, Connection]] = []
    for rank, size, name in processes:
        ours, theirs = context.Pipe()
        descriptor = None if started else listening.fileno()
        process = context.Process(target=come, args=(rank, size, name, port, descriptor, theirs), daemon=True)
        process.start()
        started.append((process, ours))
        listening.close()  # rank 0, which comes first, holds it now
    said = []
    for process, connection in started:
        assert connection.poll(SECONDS_TO_FINISH)
        said.append(connection.recv())
        process.join(SECONDS_TO_FINISH)
    return said


def test_processes_of_one_name_compute_together_at_a_port_that_rank_0_has_bound() -> None:
    assert all_that_came((0, 2, "a"), (1, 2, "a")) == ["3.0", "3.0"]


@pytest.mark.parametrize("theirs", ["run 2, SLURM job 7, start x", "run 1, SLURM job 8, start x", "run 1, SLURM job 7"])
def test_each_process_says_whom_it_met(theirs: str) -> None:
    ours = "run 1, SLURM job 7, start x"
    first, second = all_that_came((0, 2, ours), (1, 2, theirs))
    assert FOREIGN in first
    assert f"process 0 of [{ours}, 2 processes] met process 1 of [{theirs}, 2 processes]" in first
    assert f"process 1 of [{theirs}, 2 processes] met process 0 of [{ours}, 2 processes]" in second


def test_groups_of_different_sizes_are_told_apart() -> None:
    assert all(FOREIGN in said for said in all_that_came((0, 2, "a"), (1, 3, "a")))


def test_of_two_processes_that_claim_one_rank_the_foreign_one_never_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two others go on if they had met before it came, and stop if it came first."""
    monkeypatch.setattr(distributed, "_TIME_TO_MEET", timedelta(seconds=15))
    said = all_that_came((0, 2, "a"), (1, 2, "b"), (1, 2, "a"))
    assert FOREIGN in said[1]
    assert [said[0], said[2]] == ["3.0", "3.0"] or (FOREIGN in said[0] and said[2] != "3.0")


def test_processes_that_torchrun_starts_again_do_not_meet_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its store outlives them: it still holds the names of an attempt that failed."""
    store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    for restart in ("0", "1"):
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", restart)
        context = multiprocessing.get_context("fork")
        pipes = [context.Pipe() for _ in range(2)]
        processes = [
            context.Process(target=come, args=(rank, 2, f"start {restart}", store.port, None, pipes[rank][1]))
            for rank in range(2)
        ]
        for process in processes:
            process.start()
        assert [ours.recv() for ours, _ in pipes if ours.poll(SECONDS_TO_FINISH)] == ["3.0", "3.0"]
        for process in processes:
            process.join(SECONDS_TO_FINISH)
