"""From the words of a declaration to the queries of its cells."""

from __future__ import annotations

from typing import Any

import pytest

from results.declarations import OwnDeclaration, PaperDeclaration
from results.errors import InputError
from results.frame import to_frame
from results.reference import load_reference
from results.tables import build_table, find_declaration, paper_table, table_names
from results.tables.layout import lay_out


def queries(name: str) -> list[tuple[tuple[str, ...], list[Any]]]:
    declaration = find_declaration(name)

    return [(row.labels, [slot.query for slot in row.slots]) for row in lay_out(declaration, load_reference()).rows]


def test_every_cell_of_every_table_has_a_query_or_a_citation() -> None:
    for name in table_names():
        for row in lay_out(find_declaration(name), load_reference()).rows:
            assert len({(slot.query is None, slot.is_cited) for slot in row.slots}) == 1
            is_cited = row.slots[0].query is None or row.slots[0].is_cited
            assert is_cited == (name in PAPER and row.labels[0] in CITED), row.labels
            # Each method of "released" is one file, so it has one backbone.
            needed = {"method", "metric"} if name == "released" else {"method", "backbone", "metric"}
            assert all(slot.query is None or needed <= set(slot.query) for slot in row.slots)


PAPER = [f"table{number}" for number in range(1, 9)]
CITED = ["MoCo-v1", "MoCo-v2", "SimCLR", "SimSiam", "BYOL", "DINO†", "BEiT", "MSN", "MAE", "iBOT", "SimMIM"]


def test_no_two_cells_of_a_table_ask_for_the_same_runs() -> None:
    for name in table_names():
        asked = [str(sorted(query.items())) for _, cells in queries(name) for query in cells if query]
        assert len(asked) == len(set(asked)), name


def test_the_words_of_the_paper_become_queries() -> None:
    table2 = dict(queries("table2"))
    imagenet = {"pretrain_dataset": "imagenet", "dataset": "imagenet", "global_batch_size": 1024}
    assert table2["OPERA", "1024", "150", "100", "ViT-S"][0] == {
        **imagenet,
        "method": "opera",
        "arrangement": "C",
        "mlp_layers": 2,
        "embedding_dimension": 256,
        "hidden_dimension": 256,
        "backbone": "vit_small",
        "pretrain_epochs": 150,
        "finetune_epochs": 100,
        "protocol": "finetune",
        "metric": "top1",
    }
    assert table2["Supervised", "1024", "-", "300", "ViT-B"][1] == {
        **imagenet,
        "method": "supervised",
        "backbone": "vit_base",
        "stage": "pretrain",
        "pretrain_epochs": 300,
        "metric": "top5",
    }
    assert dict(queries("table6"))["Rand. Init.", "-", "1024"][5] == {
        "pretrain_dataset": "imagenet",
        "method": "random_init",
        "backbone": "resnet50",
        "protocol": "detection",
        "dataset": "coco",
        "schedule": "2x",
        "metric": "mask_AP75",
    }


def test_the_paper_alone() -> None:
    table = paper_table("table1")
    assert (*table.labels, *table.columns) == ("Method", "BS", "P.T.", "F.T.", "Backbone", "Top-1 Acc", "Top-5 Acc")
    assert [cell.published for cell in table.rows[0].cells] == ["60.6", "-"]
    with pytest.raises(InputError, match="'digits' has no published numbers"):
        paper_table("digits")


def test_unknown_table_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'table1'"):
        find_declaration("tabel1")


def test_a_query_on_no_column_is_refused() -> None:
    with pytest.raises(ValueError, match="no frame column 'protocoll'"):
        PaperDeclaration.model_validate(
            {"id": "t", "published": "table1", "columns": {"Top-1 Acc": {"protocoll": "linear"}}}
        )


def test_a_declaration_that_contradicts_itself_is_refused() -> None:
    declaration = OwnDeclaration.model_validate(
        {
            "id": "t",
            "title": "T",
            "caption": "c",
            "labels": ["Method"],
            "where": {"method": "moco_v3"},
            "rows": [{"labels": ["OPERA"], "where": {"method": "opera"}}],
            "columns": {"top-1": {"metric": "top1"}},
        }
    )
    with pytest.raises(InputError, match="method is both moco_v3 and opera"):
        build_table(declaration, to_frame([]))
