"""Delays Ctrl-C until the program is ready for it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupts:
    """Notes SIGINT while it is held back, and raises it where the program calls ``let_through``.

    Without this, Python may raise ``KeyboardInterrupt`` between starting a process and remembering it.
    """

    def __init__(self) -> None:
        self.descriptors: list[int] = []
        """File descriptors that become readable once an interrupt is noted; empty unless interrupts are held back."""
        self._noted = False
        self._handler: Callable[[int, FrameType | None], Any] | None = None

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Note the first interrupt instead of raising it; a second one before ``let_through`` is raised at once.

        Does nothing outside the main thread, where Python delivers no signals, or if SIGINT has no Python handler.
        """
        handler = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(handler):
            yield
            return
        read, write = os.pipe()

        def note(number: int, frame: FrameType | None) -> None:
            if self._noted:
                handler(number, frame)
            self._noted = True
            os.write(write, b"\0")

        self._handler, self.descriptors = handler, [read]
        signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, handler)
            self.descriptors = []
            os.close(read)
            os.close(write)
            noted, self._noted = self._noted, False
        if noted:
            handler(signal.SIGINT, None)

    def let_through(self) -> None:
        """Raise a noted interrupt: call the original handler, by default raising ``KeyboardInterrupt``."""
        if self._noted and self._handler is not None:
            for descriptor in self.descriptors:
                os.read(descriptor, 1)
            self._noted = False
            self._handler(signal.SIGINT, None)
