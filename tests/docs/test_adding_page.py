"""The table that docs/adding.md shows can be used as it stands."""

from __future__ import annotations

import re
from pathlib import Path

from results.declarations import OwnDeclaration, find_declaration
from results.reference import load_reference
from results.tables.layout import lay_out

PAGE = Path(__file__).parents[2] / "docs" / "adding.md"


def test_the_table_of_the_page_is_one(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(id: mine\n.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    declared = find_declaration(str(tmp_path / "mine.yaml"))
    assert isinstance(declared, OwnDeclaration)
    layout = lay_out(declared, load_reference())
    (slot,) = layout.rows[1].slots
    assert slot.query == {"protocol": "knn", "metric": "knn_top1", "method": "simclr", "backbone": "tiny_vit"}
