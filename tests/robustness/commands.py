"""Commands of ``opera-bench`` that are struck by a fault at one file operation."""

from __future__ import annotations

import enum
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.required import missing

ROOT = Path(__file__).resolve().parents[2]
SECONDS_TO_FINISH = 1200
"""After so long a command counts as hung. It takes one to four seconds of processor time; other programs may leave it a
hundredth of a processor."""


class Fault(enum.IntEnum):
    """What happens at the point; the numbers are those of ``faults.c``."""

    NONE = 0
    KILL = 1
    KILL_HALF_WRITTEN = 2
    DISK_FULL = 3
    IO_ERROR = 4


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    ``status`` is negative for a signal and None for a command that hung; ``operations`` counts its file operations
    beneath the watched directory; ``kinds`` has the first letter of each, ``w`` for a write; ``what`` is the operation
    that was struck.
    """

    status: int | None
    operations: int
    kinds: str
    is_struck: bool
    what: str
    output: str


class CommandServer:
    """Runs commands in forked processes (see ``tests.robustness.server``)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.robustness.server"],
            cwd=ROOT,
            env={**os.environ, "LD_PRELOAD": str(build_faults(folder)), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read("ready")

    def run(
        self,
        arguments: Sequence[str],
        directory: Path,
        *,
        point: int = 0,
        fault: Fault = Fault.NONE,
        environment: Mapping[str, str] | None = None,
    ) -> Ended:
        """``opera-bench <arguments>``, struck at operation ``point`` (from 1) beneath ``directory``."""
        output = self.folder / "output.txt"
        request = {
            "arguments": list(arguments),
            "directory": str(directory),
            "point": point,
            "mode": int(fault),
            "output": str(output),
            "seconds": SECONDS_TO_FINISH,
            "environment": dict(environment or {}),
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._read()), output=output.read_text(encoding="utf-8"))

    def run_together(self, commands: Sequence[Sequence[str]], environment: Mapping[str, str] | None = None) -> str:
        """Run several commands at once, each in a process of its own, and return what they printed.

        Raises
        ------
        AssertionError
            One of them ended with another status than 0.
        """
        outputs = [self.folder / f"output-{number}.txt" for number in range(len(commands))]
        request = {
            "together": [list(arguments) for arguments in commands],
            "outputs": [str(output) for output in outputs],
            "directory": "",
            "point": 0,
            "mode": int(Fault.NONE),
            "seconds": SECONDS_TO_FINISH,
            "environment": dict(environment or {}),
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        statuses = json.loads(self._read())
        printed = "\n".join(output.read_text(encoding="utf-8") for output in outputs)
        assert statuses == [0] * len(commands), f"{statuses}\n{printed}"
        return printed

    def _read(self, expected: str | None = None) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line, "the server of commands ended"
        assert expected in (None, line), f"the server of commands said {line!r}"
        return line

    def __enter__(self) -> CommandServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def build_faults(folder: Path) -> Path:
    """The compiled ``faults.c``."""
    library = folder / "faults.so"
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        missing("cc", "no C compiler: the crash points need one (on Debian: apt-get install gcc libc6-dev)")
    source = Path(__file__).with_name("faults.c")
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return library
