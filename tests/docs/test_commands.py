"""Every command in the README and the pages exists, and so do its options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from bench.cli import build_app

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


def commands(page: Path) -> Iterator[str]:
    """Lines of fenced code that begin with opera-bench, without the explanation behind them."""
    for block in re.findall(r"^```[a-z]*\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            if line.startswith("opera-bench "):
                yield re.split(r"\s{3,}|\s+#\s", line)[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_command_has_its_options(page: Path) -> None:
    for line in commands(page):
        command: Any = typer.main.get_command(build_app())
        words = shlex.split(line)[1:]
        while (below := getattr(command, "commands", None)) and words and not words[0].startswith("-"):
            assert words[0] in below, line
            command, words = below[words[0]], words[1:]
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        for word in words:
            option = word.partition("=")[0]
            assert not option.startswith("--") or option in known | {"--help"}, line


def test_the_pages_hold_commands() -> None:
    assert sum(1 for page in PAGES for _ in commands(page)) > 50
