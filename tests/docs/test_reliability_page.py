"""docs/reliability.md names tests that exist, and every test of tests/robustness stands under a promise."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROBUSTNESS = ROOT / "tests" / "robustness"
TEXT = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")


def named_tests() -> set[str]:
    """The files, or patterns of files, in the second column of the promises."""
    rows = [line.split("|")[2] for line in TEXT.splitlines() if line.startswith("| ") and "test_" in line]
    return {name for row in rows for name in re.findall(r"`([^`]*)`", row)}


def files_of(name: str) -> list[Path]:
    """The files that a name of the page means; without a folder it stands in tests/robustness."""
    return sorted((ROOT if "/" in name else ROBUSTNESS).glob(name))


def test_every_test_named_on_the_page_exists() -> None:
    assert len(named_tests()) >= 5
    assert [name for name in named_tests() if not files_of(name)] == []


def test_every_test_of_robustness_is_named_on_the_page() -> None:
    named = {path for name in named_tests() for path in files_of(name)}
    assert set(ROBUSTNESS.glob("test_*.py")) - named == set()


def test_every_other_file_and_command_on_the_page_exists() -> None:
    names = re.findall(r"`([\w./]+\.(?:c|py))`|`(tests/\w+)`", TEXT)
    paths = {first or second for first, second in names}
    assert paths >= {"faults.c", "standin.py", "tests/cluster"}
    assert [name for name in paths if not files_of(name)] == []
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"`?make ([\w-]+)`?", TEXT)
    assert targets
    assert [target for target in targets if f"\n{target}:" not in makefile] == []
