"""The LaTeX of every table through a real TeX: it compiles, and nothing sticks out of the page.

Needs Debian's ``texlive-latex-base`` and ``texlive-latex-recommended`` (booktabs). Without them the test is skipped,
unless ``OPERA_BENCH_REQUIRE`` names ``latex``: then it fails.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from results.render import render_table
from tests.results.regenerate import golden_tables
from tests.results.test_render import NASTY

PREAMBLE = r"""\documentclass[a4paper]{article}
\usepackage[margin=2cm]{geometry}
\usepackage{booktabs}
\begin{document}
"""


@pytest.fixture(scope="module")
def pdflatex() -> str:
    found = shutil.which("pdflatex")
    if found is None:
        if "latex" in os.environ.get("OPERA_BENCH_REQUIRE", "").replace(",", " ").split():
            pytest.fail("OPERA_BENCH_REQUIRE asks for latex, and there is no pdflatex on PATH")
        pytest.skip("no pdflatex on PATH (Debian: texlive-latex-base texlive-latex-recommended)")
    return found


def compile_document(pdflatex: str, tables: list[str], directory: Path) -> str:
    """The log of a document of these tables, one a page."""
    document = PREAMBLE + "\n\\clearpage\n".join(tables) + "\n\\end{document}\n"
    (directory / "tables.tex").write_text(document, encoding="utf-8")
    command = [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    return (directory / "tables.log").read_text(encoding="utf-8", errors="replace")


def test_every_table_compiles_and_fits_the_page(pdflatex: str, tmp_path: Path) -> None:
    tables = [render_table(table, "tex") for table in (*(table for _, table in golden_tables(tmp_path)), NASTY)]
    log = compile_document(pdflatex, tables, tmp_path)
    too_wide = [float(points) for points in re.findall(r"Overfull \\hbox \(([0-9.]+)pt too wide\)", log)]
    assert [points for points in too_wide if points > 1] == []
    assert "Missing character" not in log
    pages = re.search(r"Output written on tables.pdf \((\d+) pages", log)
    assert pages is not None
    assert int(pages[1]) == len(tables)
