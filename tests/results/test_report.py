"""The report stands alone, escapes what it is given, and its links lead somewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from results.errors import InputError
from results.figures import figure_names
from results.frame import to_frame
from results.report import duration, last_log_lines, write_report
from results.runs import RunDirectory
from results.store import load_runs
from results.tables import build_table
from tests.results.synthetic import evaluation, pretraining, write_run
from tests.results.test_figures import write_sweep

HOSTILE = "<script>alert('loss')</script> & <b>nan</b>"
VOID = {"meta", "input", "br", "img", "link", "hr"}


class Page(HTMLParser):
    """What the tests ask of a page: ids, links, loads, and whether its elements nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.scripts = 0
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attributes}
        self.scripts += tag == "script"
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if "href" in found else []
        self.loads += [found[name] for name in ("src", "srcset", "data", "action", "poster") if name in found]
        self.links += re.findall(r"url\(([^)]*)\)", " ".join(found.values()))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    runs = tmp_path_factory.mktemp("runs")
    write_sweep(runs)
    failed = write_run(runs, pretraining("supervised"), state="failed", error=HOSTILE)
    log = RunDirectory(runs / failed).logs / "attempt-1.log"
    log.parent.mkdir()
    log.write_text("\n".join([f"step {step}" for step in range(100)] + [HOSTILE]))
    write_run(runs, evaluation(pretraining("<i>mine</i>")))
    broken = runs / "linear-broken"
    broken.mkdir()
    (broken / "record.json").write_text("{")
    store = load_runs(runs)
    out = runs.parent / "pages" / "report.html"
    tables = [build_table(name, to_frame(store.runs)) for name in ("digits", "table1")]
    write_report(store, tables, figure_names(), out, title="Sweep <em>one</em>")
    return out.read_text(encoding="utf-8")


def test_it_is_well_formed_and_its_ids_are_unique(report: str) -> None:
    page = Page(report)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))


def test_it_loads_nothing(report: str) -> None:
    page = Page(report)
    assert all(address.startswith("data:image/png;base64,") for address in page.loads)
    assert page.scripts == 1
    assert "default-src 'none'" in report
    assert not re.search(r"https?://|//[a-z0-9-]+\.[a-z]+/|@import", report)


def test_every_link_leads_to_an_element_of_the_page(report: str) -> None:
    page = Page(report)
    assert page.links
    assert {link.strip("\"'") for link in page.links} <= {f"#{name}" for name in page.ids}


def test_what_runs_say_is_escaped(report: str) -> None:
    assert "<script>alert" not in report
    assert "<b>nan" not in report
    assert "<i>mine" not in report
    assert "<em>one" not in report
    assert "".join(Page(report).text).count(HOSTILE) >= 3, "reason, log and provenance show it as it was written"


def test_it_holds_tables_figures_failures_and_provenance(report: str) -> None:
    text = " ".join("".join(Page(report).text).split())
    for words in ("opera − moco_v3", "Methods under each protocol", "step 99", "checkpoint SHA-256", "made up"):
        assert words in text
    assert "step 84 " not in text, "only the end of the log"
    assert "linear-broken" in text, "an unreadable run is a problem the reader hears of"
    assert report.count('<table class="results">') == 2
    assert report.count("<svg ") >= 4
    assert report.count("<svg ") + report.count("Not drawn:") == len(figure_names())


def test_a_sweep_without_results_has_a_report(tmp_path: Path) -> None:
    write_run(tmp_path / "runs", pretraining("opera"), state="planned")
    out = tmp_path / "report.html"
    write_report(load_runs(tmp_path / "runs"), [], figure_names(), out, title="empty")
    text = out.read_text(encoding="utf-8")
    assert text.count("Not drawn:") == len(figure_names())
    assert Page(text).open == []


def test_a_path_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    write_run(tmp_path / "runs", pretraining("opera"), state="planned")
    with pytest.raises(InputError, match="can't be written"):
        write_report(load_runs(tmp_path / "runs"), [], [], tmp_path / "file" / "report.html", title="x")


def test_the_newest_log_speaks(tmp_path: Path) -> None:
    assert last_log_lines(tmp_path) == []
    logs = RunDirectory(tmp_path).logs
    logs.mkdir()
    (logs / "one.log").write_bytes(b"a\nb\n\xff\n")
    assert last_log_lines(tmp_path, 2) == ["b", "�"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (725, "12 min 5 s"), (12_000, "3 h 20 min"), (187_200, "2 d 4 h")],
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words
