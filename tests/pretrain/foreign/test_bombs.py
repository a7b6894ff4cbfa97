"""Small files that ask for much: one sentence, in seconds, in 500 MB."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from pretrain.errors import InputError
from pretrain.foreign.parts.conversion import read_checkpoint
from pretrain.foreign.parts.reading import read_foreign
from pretrain.wording import printable
from tests.pretrain.foreign.bombs import BOMBS, CASES, archive, nested_pairs

SECONDS = 5.0
MEGABYTES = 500


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_that_asks_for_much_is_refused(name: str, tmp_path: Path) -> None:
    make, complaint = BOMBS[name]
    path = make(tmp_path / "bomb.pth")
    assert path.stat().st_size < 25_000_000
    before, started = peak_megabytes(), time.process_time()
    with pytest.raises(InputError, match=complaint) as refusal:
        read_foreign(path)
    assert time.process_time() - started < SECONDS
    assert peak_megabytes() - before < MEGABYTES
    assert len(str(refusal.value)) < 2000


@pytest.mark.parametrize("name", ["the shipped case", "compressed", "nested lists", "200,000 entries"])
def test_the_command_refuses_it_in_500_megabytes(name: str, tmp_path: Path) -> None:
    """Of address space, which is less than torch alone takes: such a file is refused before torch is imported."""
    path = BOMBS[name][0](tmp_path / "bomb.pth")
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({MEGABYTES} * 2**20,) * 2)\n"
        f"import sys; sys.argv = ['opera-bench', 'checkpoint', 'inspect', {str(path)!r}]\n"
        "from bench.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_torch_load_has_no_limit_of_time(tmp_path: Path) -> None:
    """Why foreign pickles are not read with ``torch.load(weights_only=True, mmap=True)`` in this process."""
    path = archive(tmp_path / "bomb.pth", nested_pairs(), {"version": b"3\n", "byteorder": b"little"})
    with pytest.raises(InputError, match="no tensors"):
        read_foreign(path)
    pid = os.fork()
    if pid == 0:
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (2, 2))
            torch.load(path, weights_only=True, mmap=True)
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def test_torch_load_does_not_fit_into_a_child_with_the_limits_of_a_reader(tmp_path: Path) -> None:
    """Why not in a child process with a limit on memory: torch itself needs more than any file of weights does."""
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({MEGABYTES} * 2**20,) * 2); import torch"
    done = subprocess.run([sys.executable, "-c", limit], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0


def test_what_a_file_says_reaches_no_terminal(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"begin a\\x1b\[31m<script>") as refusal:
        read_checkpoint(CASES / "esckey.pth")
    assert str(refusal.value).isprintable()
    evil = "\x1b[2J\r\n\u202e\x00\x9b\ud800é"
    assert printable(evil) == r"\x1b[2J\r\n\u202e\x00\x9b\ud800é"
    for content in ({evil: torch.ones(1), "a": 1}, {evil: torch.tensor(float("nan"))}, {evil: torch.ones(1).long()}):
        path = tmp_path / "\x1b[31mred.pth"
        torch.save({"state_dict": content}, path)
        with pytest.raises(InputError) as refusal:
            read_checkpoint(path)
        assert str(refusal.value).isprintable()
        assert r"\x1b[31mred" in str(refusal.value)
