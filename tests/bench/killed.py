"""A job that is killed from outside, as for want of memory."""

from __future__ import annotations

import os
import signal
from typing import Any


def execute(**_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
