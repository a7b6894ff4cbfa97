"""The published numbers against a second listing of the paper, made apart from the data file."""

from __future__ import annotations

import hashlib
from decimal import Decimal, InvalidOperation

import pytest

from results.declarations import find_declaration
from results.errors import InputError
from results.reference import load_reference, published_number
from results.tables import paper_table

# table → (rows, {column: sum of its numbers, dashes left out}), added up from the paper's pages
EXPECTED = {
    "table1": (12, {"BS": "15360", "P.T.": "4600", "F.T.": "2020", "Top-1 Acc": "850.7", "Top-5 Acc": "726.0"}),
    "table2": (20, {"BS": "32768", "P.T.": "4650", "F.T.": "3400", "Top-1 Acc": "1627.9", "Top-5 Acc": "1913.3"}),
    "table3": (8, {"P.T.": "2100", "C-10": "784.8", "C-100": "695.6", "Flowers-102": "754.6", "Pets": "734.3"}),
    "table4": (22, {"P.T.": "5550", "BS": "47104", "mIoU": "940.3", "mAcc": "1172.3", "aAcc": "1769.9"}),
    "table5": (
        7,
        {
            "BS": "13312",
            "AP^bb": "264.6",
            "AP_50^bb": "403.6",
            "AP_75^bb": "287.3",
            "AP^mk": "241.2",
            "AP_50^mk": "383.1",
            "AP_75^mk": "257.3",
        },
    ),
    "table6": (
        7,
        {
            "BS": "13312",
            "AP^bb": "280.6",
            "AP_50^bb": "419.1",
            "AP_75^bb": "307.3",
            "AP^mk": "253.2",
            "AP_50^mk": "398.8",
            "AP_75^mk": "270.8",
        },
    ),
    "table7": (3, {"P.T.": "300", "Top-1 Acc": "235.9", "mIoU": "125.8"}),
    "table8": (8, {"Top-1 Acc": "667.1"}),
    "figure4": (2, {"Arrangement A": "119.8", "Arrangement B": "120.0", "Arrangement C": "121.2"}),
    "figure5": (1, {"P.T.": "50", "Top-1 Acc": "78.7"}),
}

# (table, row number from 0) → the row as printed
SPOT_ROWS = {
    ("table1", 0): "MoCo-v1 | 256 | 200 | 100 | R50 | 60.6 | -",
    ("table1", 3): "SimCLR | 4096 | 100 | 1000 | R50 | 69.3 | 89.0",
    ("table1", 8): "OPERA | 1024 | 300 | 90 | R50 | 74.8 | 91.9",
    ("table1", 9): "MoCo-v3† | 1024 | 300 | 90 | ViT-S | 71.2 | 90.3",
    ("table2", 0): "Supervised | 1024 | - | 300 | ViT-S | 79.8 | 95.0",
    ("table2", 2): "DINO† | 1024 | 300 | 300 | ViT-B | 82.8 | 96.3",
    ("table2", 19): "OPERA | 4096 | 300 | 150 | ViT-B | 83.5 | 96.5",
    ("table3", 0): "Supervised† | 300 | 100 | R50 | 97.6 | 85.5 | 95.6 | 92.2",
    ("table3", 7): "OPERA | 300 | 100 | ViT-S | 98.6 | 89.0 | 95.5 | 93.3",
    ("table4", 1): "MoCo-v3† | 300 | R50 | 1024 | 37.0 | 47.0 | 77.6",
    ("table4", 21): "OPERA | 300 | ViT-B | 4096 | 46.6 | 57.2 | 82.1",
    ("table5", 0): "Rand. Init. | - | 1024 | 31.0 | 49.5 | 33.2 | 28.5 | 46.8 | 30.4",
    ("table6", 6): "OPERA | 300 | 4096 | 41.5 | 61.2 | 45.5 | 37.3 | 58.2 | 39.9",
    ("table7", 1): "Supervised (MLP) | 100 | ViT-S | 78.4 | 41.9",
    ("table8", 0): "BEiT | Masked Image Modeling | 800 ViT-B | 83.2",
    ("table8", 7): "OPERA | Contrastive Learning | 300 ViT-B | 83.5",
    ("figure4", 0): "Seg | 40.9 | 41.4 | 42.4",
    ("figure4", 1): "Cls | 78.9 | 78.6 | 78.8",
}


# table → first 16 digits of the SHA-256 over header and rows, taken from the paper's own text: cells joined by "|",
# lines by newlines, † and scripts as in the data file
DIGESTS = {
    "table1": "4fe2d8be710408d4",
    "table2": "4408dbde6d6b3186",
    "table3": "0ed36ead0eb35e6d",
    "table4": "d31948fc4f51721e",
    "table5": "562a8afa72dd2a6d",
    "table6": "2c8ab98b202a5ed1",
    "table7": "425190148f178d6e",
    "table8": "280a0108d1d8cb94",
}

# (table, row number from 0, column): printed bold although not above the MoCo-v3 row it belongs to
BOLD_WITHOUT_IMPROVEMENT = {
    ("table2", 15, "Top-5 Acc"),
    ("table4", 20, "aAcc"),
    ("table4", 21, "aAcc"),
    ("table5", 3, "AP^bb"),
    ("table5", 3, "AP_75^bb"),
    ("table5", 3, "AP_50^mk"),
    ("table6", 3, "AP_50^bb"),
    ("table6", 3, "AP^mk"),
    ("table6", 3, "AP_50^mk"),
    ("table6", 3, "AP_75^mk"),
}


@pytest.mark.parametrize("name", DIGESTS)
def test_header_and_every_row_are_the_papers(name: str) -> None:
    table = load_reference().tables[name]
    text = "\n".join("|".join(row) for row in (table.columns, *table.rows))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == DIGESTS[name]


def test_no_number_stands_twice() -> None:
    for name, table in load_reference().tables.items():
        measured = 1 if name in ("figure4", "figure5") else len(table.columns) - len(find_declaration(name).columns)
        labels = [row[:measured] for row in table.rows]
        assert len(set(labels)) == len(labels), f"{name}: two rows say the same, so a number would stand twice"


def test_bold_follows_the_papers_rule_and_departs_from_its_print_where_listed() -> None:
    """Tables 1 to 7 print every number of OPERA bold; the rule of section 4.1 asks for an improvement."""
    departures = set()
    for name in (f"table{number}" for number in range(1, 8)):
        table = paper_table(name)
        for at, row in enumerate(table.rows):
            for column, cell in zip(table.columns, row.cells, strict=True):
                printed_bold = row.labels[0] == "OPERA"
                if cell.published_better != printed_bold:
                    assert printed_bold, "nothing is bold that the paper does not print bold"
                    departures.add((name, at, column))
    assert departures == BOLD_WITHOUT_IMPROVEMENT


def test_every_table_of_the_paper_is_there() -> None:
    assert list(load_reference().tables) == list(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_rows_and_column_sums(name: str) -> None:
    table = load_reference().tables[name]
    rows, sums = EXPECTED[name]
    assert len(table.rows) == rows
    assert list(sums) == [column for column in table.columns if column in sums]
    for column, expected in sums.items():
        cells = [row[table.columns.index(column)] for row in table.rows]
        assert sum((_decimal(cell) for cell in cells), Decimal(0)) == Decimal(expected), column


@pytest.mark.parametrize(("name", "index"), SPOT_ROWS)
def test_spot_rows(name: str, index: int) -> None:
    assert " | ".join(load_reference().tables[name].rows[index]) == SPOT_ROWS[name, index]


def test_measured_cells_are_printed_with_one_decimal() -> None:
    for table in load_reference().tables.values():
        for row in table.rows:
            for column, cell in zip(table.columns, row, strict=True):
                if column not in ("BS", "P.T.", "F.T.") and _decimal(cell):
                    assert cell[-2] == "."


def test_official_moco_v3_numbers() -> None:
    tables = load_reference("moco_v3_official").tables
    assert [row[-1] for row in tables["linear"].rows] == ["68.9", "72.8", "74.6", "73.2", "76.7"]
    assert tables["transfer"].rows == (("ViT-B", "300", "98.9", "90.5", "97.7", "93.2"),)


def test_a_dash_is_no_number() -> None:
    assert published_number("-") is None
    assert published_number("89.0") == 89.0


def test_unknown_reference() -> None:
    with pytest.raises(InputError, match="nowhere"):
        load_reference("nowhere")


def _decimal(cell: str) -> Decimal:
    try:
        return Decimal(cell)
    except InvalidOperation:
        return Decimal(0)
