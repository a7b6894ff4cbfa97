"""Bold and underlined compare only numbers on equal data, and a note names the rows that they don't compare."""

from __future__ import annotations

from pathlib import Path

import pytest

import results
from results.declarations import OwnDeclaration
from results.record import NOT_SEEN
from results.tables import Table, build_table
from tests.results.synthetic import evaluation, pretraining, write_run

WHOLE, PART = "a" * 64, "b" * 64
METHODS = {"supervised": "Supervised", "moco_v3": "MoCo-v3", "opera": "OPERA"}
TABLE = OwnDeclaration.model_validate(
    {
        "id": "t",
        "title": "T",
        "caption": "c",
        "labels": ["Method"],
        "rows": [{"labels": [title], "where": {"method": name}} for name, title in METHODS.items()],
        "columns": {"top-1": {"protocol": "transfer", "metric": "top1"}},
    }
)


def build(
    runs: Path, evaluated: dict[str, str], pretrained: dict[str, str], datasets: dict[str, str] | None = None
) -> Table:
    """A table of three methods: Supervised has 80 %, MoCo-v3 85 %, OPERA 90 %; WHOLE is the data not named."""
    for method, value in zip(METHODS, (80.0, 85.0, 90.0), strict=True):
        subject = pretraining(method, dataset=(datasets or {}).get(method, "imagenet"))
        parent = write_run(runs, subject, fingerprint=pretrained.get(method, WHOLE))
        config = evaluation(subject, "transfer", dataset="cifar10")
        write_run(runs, config, metrics={"top1": value}, parents=[parent], fingerprint=evaluated.get(method, WHOLE))
    return build_table(TABLE, results.load(runs))


def marks(table: Table) -> dict[str, str]:
    """Method → b for bold, u for underlined."""
    return {row.labels[0]: "b" * row.cells[0].better + "u" * row.cells[0].best for row in table.rows}


def compared(table: Table) -> list[str]:
    return [note for note in table.notes if "equal data" in note]


def test_rows_on_equal_data_compete(tmp_path: Path) -> None:
    table = build(tmp_path, {}, {})
    assert marks(table) == {"Supervised": "", "MoCo-v3": "", "OPERA": "bu"}
    assert not compared(table)


@pytest.mark.parametrize("use", ["evaluated on cifar10", "pretrained on imagenet"])
def test_a_row_on_other_data_does_not_compete(tmp_path: Path, use: str) -> None:
    other = {"opera": PART}
    table = build(tmp_path, *(({}, other) if use.startswith("pretrained") else (other, {})))
    assert marks(table) == {"Supervised": "", "MoCo-v3": "u", "OPERA": ""}, "the others still compete"
    assert compared(table) == [
        f"top-1: bold and underlined compare only numbers on equal data. Rows {use} with data {WHOLE[:12]}: "
        f"Supervised, MoCo-v3; with data {PART[:12]}: OPERA."
    ]


def test_a_baseline_on_other_data_marks_no_improvement(tmp_path: Path) -> None:
    table = build(tmp_path, {"moco_v3": PART}, {})
    assert marks(table) == {"Supervised": "", "MoCo-v3": "", "OPERA": "u"}, "OPERA is compared with Supervised"


def test_unknown_pretraining_data_equals_any_other(tmp_path: Path) -> None:
    table = build(tmp_path, {}, {"moco_v3": NOT_SEEN, "opera": PART})
    assert marks(table) == {"Supervised": "", "MoCo-v3": "", "OPERA": "bu"}
    assert "MoCo-v3" not in "".join(compared(table))


def test_datasets_of_different_names_compete_in_pretraining(tmp_path: Path) -> None:
    """A table may ask which dataset is best to pretrain on."""
    table = build(tmp_path, {}, {"opera": PART}, {"opera": "digits"})
    assert marks(table) == {"Supervised": "", "MoCo-v3": "", "OPERA": "bu"}
    assert not compared(table)


def test_a_classifier_of_the_pretraining_competes_on_its_own_data(tmp_path: Path) -> None:
    """Its record has no parent: it is pretrained on the data of its own record."""
    rows = [
        row.model_copy(update={"where": {**row.where, "stage": stage}})
        for row, stage in zip(TABLE.rows, ("pretrain", "linear", "linear"), strict=True)
    ]
    declared = TABLE.model_copy(update={"rows": rows, "columns": {"top-1": {"metric": "top1"}}})
    write_run(tmp_path, pretraining("supervised", dataset="imagenet"), metrics={"top1": 95.0}, fingerprint=PART)
    for method, value in (("moco_v3", 85.0), ("opera", 90.0)):
        subject = pretraining(method, dataset="imagenet")
        parent = write_run(tmp_path, subject, fingerprint=WHOLE)
        write_run(tmp_path, evaluation(subject), metrics={"top1": value}, parents=[parent], fingerprint=WHOLE)
    table = build_table(declared, results.load(tmp_path))
    assert marks(table) == {"Supervised": "", "MoCo-v3": "", "OPERA": "bu"}
    assert len(compared(table)) == 2, "both the evaluation's and the pretraining's data differ"
