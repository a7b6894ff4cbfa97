"""Connects the processes of one SLURM job: rank 0 binds a port and publishes it to the others in a file.

The batch script sets ``OPERA_BENCH_ATTEMPT`` to a new value each time the job starts, and ``srun`` passes it to every
process. The file's name contains this value, so a requeued job, another array element or another job never reads the
wrong file.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from submitit import JobEnvironment

from slurm._process import without_group
from slurm.scheduler.script import ATTEMPT

SECONDS_TO_MEET = 600.0
"""How long a process waits for rank 0's file. Python may take minutes to start from a busy file system, and NFS may
hide a new file for a minute."""
SECONDS_BETWEEN_READS = 0.2


@contextlib.contextmanager
def join_group(job: JobEnvironment, seconds_to_meet: float = SECONDS_TO_MEET) -> Iterator[None]:
    """Set the environment variables from which torch finds the job's processes; remove rank 0's file afterwards.

    Variables that describe another process group (from the shell, the profile's ``setup`` or ``export``) are removed.
    Rank 0 passes its listening socket on as ``MASTER_LISTEN_FD``, so that no other program can take the port.

    Raises
    ------
    TimeoutError
        Rank 0's file did not appear in time.
    """
    rank, size = job.global_rank, job.num_tasks
    variables = without_group(os.environ)
    variables |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": str(job.local_rank),
        "LOCAL_WORLD_SIZE": str(size // job.num_nodes),
    }
    path = None
    if size > 1:
        attempt = os.environ[ATTEMPT]
        path = Path(job.paths.folder) / f"meeting-{job.job_id}-{attempt}.json"
        variables["PROCESS_GROUP_NAME"] = f"SLURM job {job.job_id}, start {attempt}"
        if rank == 0:
            listening = _listen()
            port = listening.getsockname()[1]
            variables |= {
                "MASTER_ADDR": "localhost",
                "MASTER_PORT": str(port),
                "MASTER_LISTEN_FD": str(listening.detach()),
            }
            _announce(path, port)
        else:
            host, port = _find(path, seconds_to_meet)
            variables |= {"MASTER_ADDR": host, "MASTER_PORT": str(port)}
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        if path is not None and rank == 0:
            path.unlink(missing_ok=True)


def _listen() -> socket.socket:
    """Return a socket that listens on a free port, on IPv6 and IPv4 if the machine has both."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", 0))


def _announce(path: Path, port: int) -> None:
    """Write this node's names and the port to ``path`` atomically."""
    names = [os.environ.get("SLURMD_NODENAME"), socket.gethostname()]
    temporary = path.with_suffix(".new")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump({"hosts": [name for name in names if name], "port": port}, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


def _find(path: Path, seconds_to_meet: float) -> tuple[str, int]:
    """Return the first of rank 0's host names that can be resolved, and its port."""
    give_up = time.monotonic() + seconds_to_meet
    while not path.exists():
        if time.monotonic() > give_up:
            raise TimeoutError(
                f"{path}: rank 0 has not written its address within {seconds_to_meet:g} s; see the log of rank 0,"
                " and whether the nodes share this folder"
            )
        time.sleep(SECONDS_BETWEEN_READS)
    published = json.loads(path.read_text(encoding="utf-8"))
    return next(filter(_is_known, published["hosts"]), published["hosts"][0]), int(published["port"])


def _is_known(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True
