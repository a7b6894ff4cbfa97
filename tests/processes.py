"""Real processes that join one gloo group, for tests of what only happens between processes."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.distributed import TCPStore

from pretrain.distributed import process_group

SECONDS_TO_FINISH = 200


@contextmanager
def running(world_size: int, work: Callable[..., None], *arguments: Any) -> Iterator[None]:
    """Have ``world_size`` processes call ``work(rank, *arguments)`` while the block runs; they must all succeed.

    The parent hosts the store they meet at, as torchrun does: a port that is only looked up beforehand can be taken by
    somebody else until a child listens on it.
    """
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([work.__module__])
    processes = [
        context.Process(target=_child, args=(rank, world_size, store.port, work, arguments), daemon=True)
        for rank in range(world_size)
    ]
    for process in processes:
        process.start()
    try:
        yield
        wait_until = time.monotonic() + SECONDS_TO_FINISH
        for process in processes:
            process.join(max(wait_until - time.monotonic(), 0))
        assert [process.exitcode for process in processes] == [0] * world_size
    finally:
        for process in processes:
            process.kill()


def _child(rank: int, world_size: int, port: int, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    os.environ.update(
        RANK=str(rank),
        WORLD_SIZE=str(world_size),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        TORCHELASTIC_USE_AGENT_STORE="True",
    )
    # One group for all of the work: a second one would meet what the first left in the store.
    with process_group(torch.device("cpu")):
        work(rank, *arguments)
