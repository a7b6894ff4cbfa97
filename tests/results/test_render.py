"""Tables in every format.

The golden files are written by ``python -m tests.results.regenerate``; look at the difference before committing it.
"""

from __future__ import annotations

import csv
import io
import json
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from results.errors import InputError
from results.reference import load_reference
from results.render import format_names, render_table
from results.render._text import signed
from results.tables import Cell, Row, Table, paper_table, published_table_names
from tests.results.regenerate import GOLDEN, golden_tables, golden_texts, terminal_text

NASTY = Table(
    id="nasty",
    title="A | B",
    caption="50 % of <script>alert(1)</script> & more",
    source=None,
    labels=("Method",),
    columns=("x_1", 'quoted "y", z'),
    rows=(Row(("a_b | *c* † ~",), (Cell("done", mean=1.25, n=1, seeds=1), Cell("not planned"))),),
    notes=("#1: 100 % {braces} $5 \\ end",),
)


def test_golden_tables(tmp_path: Path) -> None:
    texts = dict(golden_texts(tmp_path))
    assert sorted(texts) == sorted(file.name for file in GOLDEN.iterdir())
    for name, text in texts.items():
        assert text == (GOLDEN / name).read_text(encoding="utf-8"), name


@pytest.mark.parametrize("name", published_table_names())
def test_csv_of_the_paper_is_the_paper(name: str) -> None:
    published = load_reference().tables[name]
    text = render_table(paper_table(name), "csv")
    assert [tuple(row) for row in csv.reader(io.StringIO(text))] == [published.columns, *published.rows]


def test_csv_of_ours_reads_back_in_pandas() -> None:
    frame = pd.read_csv(GOLDEN / "table1.csv")
    opera = frame[(frame["Method"] == "OPERA") & (frame["P.T."] == 150) & (frame["Backbone"] == "R50")].iloc[0]
    assert opera["Top-1 Acc"] == pytest.approx(73.7)
    assert opera["Top-1 Acc n"] == 3
    assert float(opera["Top-1 Acc paper"]) == 73.7
    assert opera["Top-1 Acc state"] == "done"
    assert frame["Top-5 Acc Δ"].notna().sum() == 1


def test_json_keeps_every_field_of_every_cell() -> None:
    document = json.loads((GOLDEN / "table1.json").read_text(encoding="utf-8"))
    cell = document["rows"][8]["cells"]["Top-1 Acc"]
    assert cell["mean"] == pytest.approx(73.7)
    assert (cell["n"], cell["unit"], cell["published"]) == (3, "%", "73.7")
    assert cell["recipes"] == ["pretraining mocov3-r50@1", "linear linear-r50@1"]


def test_markdown_rows_have_as_many_cells_as_the_header() -> None:
    lines = [line for line in render_table(NASTY, "md").splitlines() if line.startswith("|")]
    assert {line.replace(r"\|", "").count("|") for line in lines} == {4}
    assert "<script>" not in render_table(NASTY, "md").replace(r"\<", "")


def test_latex_escapes_what_latex_would_read() -> None:
    text = render_table(NASTY, "tex")
    assert r"50 \% of $<$script$>$" in text
    assert r"a\_b | *c* $^\dagger$ \textasciitilde{} & 1.2 (n=1) & not planned \\" in text
    assert r"\#1: 100 \% \{braces\} \$5 \textbackslash{} end" in text
    assert r"AP$_{50}^{bb}$" in render_table(paper_table("table5"), "tex")


def test_latex_is_plain_ascii_for_every_shipped_table(tmp_path: Path) -> None:
    for name, table in golden_tables(tmp_path):
        assert render_table(table, "tex").isascii(), name


def test_html_is_balanced_and_escaped() -> None:
    class Balance(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            assert tag != "script"
            self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

    for text in (render_table(NASTY, "html"), (GOLDEN / "table1.html").read_text(encoding="utf-8")):
        parser = Balance()
        parser.feed(text)
        parser.close()
        assert parser.open == []


def test_the_terminal_table_says_all_a_cell_says() -> None:
    text = terminal_text(NASTY)
    assert "1.2 (n=1)" in text
    assert "not planned" in text
    assert "[" not in terminal_text(paper_table("table1"), width=60)


def test_formats() -> None:
    assert format_names() == ("csv", "html", "json", "md", "tex")
    assert render_table(NASTY, "markdown") == render_table(NASTY, "md")
    with pytest.raises(InputError, match="unknown table format 'docx'; allowed: csv, html, json, md, tex"):
        render_table(NASTY, "docx")


@pytest.mark.parametrize(
    ("value", "text"), [(1.06, "+1.1"), (-1.06, "−1.1"), (0.04, "0.0"), (-0.04, "0.0"), (0.0, "0.0")]
)
def test_differences_show_their_sign(value: float, text: str) -> None:
    assert signed(value, 1) == text
