"""Functions that jobs of these tests call, and how the tests look at processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

NAME = __name__


def do_nothing() -> None:
    pass


def append(path: str, text: str) -> None:
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(text + "\n")


def span(path: str, seconds: float = 0.0) -> None:
    """Leave when this ran (machine-wide monotonic seconds) and in which process."""
    start = time.monotonic()
    time.sleep(seconds)
    row = {"start": start, "end": time.monotonic(), "pid": os.getpid()}
    Path(path).write_text(json.dumps(row), encoding="utf-8")


def fail(message: str) -> None:
    print("about to fail")
    raise ValueError(message)


def leave(status: int) -> None:
    sys.exit(status)


def die(number: int) -> None:
    print("printed before the end")
    os.kill(os.getpid(), number)


def drop_out(status: int) -> None:
    os._exit(status)


def speak() -> None:
    print("to stdout: ünï → 漢字")
    print("to stderr", file=sys.stderr)


def speak_below_python() -> None:
    os.write(1, b"written to descriptor 1\n")
    os.write(2, b"written to descriptor 2\n")
    subprocess.run(["sh", "-c", "echo from a subprocess; cat"], check=True)


def describe_surroundings(path: str, modules: list[str]) -> None:
    row = {
        "pid": os.getpid(),
        "session": os.getsid(0),
        "parent": os.getppid(),
        "parent_output": str(Path(f"/proc/{os.getppid()}/fd/1").readlink()),
        "blocked_signals": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
        "directory": str(Path.cwd()),
        "environment": dict(os.environ),
        "modules": [name for name in modules if name in sys.modules],
        "import_pids": {name: getattr(sys.modules.get(name), "IMPORTED_IN", None) for name in modules},
        "main_file": getattr(sys.modules["__main__"], "__file__", None),
    }
    Path(path).write_text(json.dumps(row), encoding="utf-8")


def hang(path: str, stubborn: bool = False) -> None:
    """Start a child, write both process ids, and never end; a stubborn job ignores SIGTERM."""
    if stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "600"])
    Path(path).with_suffix(".new").write_text(f"{os.getpid()} {child.pid}", encoding="utf-8")
    Path(path).with_suffix(".new").rename(path)
    child.wait()
    time.sleep(600)


def leave_orphan(path: str) -> None:
    child = subprocess.Popen(["sleep", "600"])
    Path(path).write_text(str(child.pid), encoding="utf-8")


def raise_keyboard_interrupt() -> None:
    raise KeyboardInterrupt


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended but was not waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()
