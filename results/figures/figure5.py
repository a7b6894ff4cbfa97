"""Draws the paper's Figure 5: accuracy over pretraining epochs, with published numbers in separate panels.

The paper draws its curve without numbers. Published numbers come from the text, which gives one point, and from the
rows of Tables 2, 4 and 7 with the figure's network and schedule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from results.figures._ablation import CAPTION as ABLATION_CAPTION
from results.figures._ablation import ablation_data, draw_ablation
from results.reference import load_methods, load_reference

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from results.store import Run

TITLE = "Pretraining epochs"
CAPTION = (
    ABLATION_CAPTION + " Open: what the paper prints for ViT-S at batch size 1024 and 100 epochs of finetuning: in "
    "the text of Figure 5 and in Tables 2, 4 and 7; its curve is only drawn."
)
_FIELD = "pretrain_epochs"


def data(runs: Sequence[Run], frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per number: ours, see ``ablation_data``, then the published ones, whose run_id is missing."""
    import pandas as pd

    ours = ablation_data(frame, _FIELD, load_methods().ours).assign(source="ours")
    printed = [
        {"side": side, "panel": panel, "source": "paper", "backbone": "vit_small", _FIELD: epochs, "value": value}
        for side, (panel, _, points) in zip(("classification", "transfer"), _printed(), strict=True)
        for epochs, value in points
    ]
    return pd.DataFrame([*ours.to_dict("records"), *printed], columns=ours.columns)


def draw(runs: Sequence[Run], frame: pd.DataFrame) -> Figure:
    """Draw a panel per task, with the published numbers at the right."""
    points = ablation_data(frame, _FIELD, load_methods().ours)
    return draw_ablation(points, _FIELD, "epochs of pretraining", paper=_printed())


def _printed() -> list[tuple[str, str, list[tuple[int, float]]]]:
    tables = load_reference().tables
    tuned: dict[int, float] = {int(epochs): float(value) for epochs, value in tables["figure5"].rows}
    segmented: dict[int, float] = {}
    for name, labels, column, into in (
        ("table2", {"BS": "1024", "F.T.": "100", "Backbone": "ViT-S"}, "Top-1 Acc", tuned),
        ("table4", {"BS": "1024", "Backbone": "ViT-S"}, "mIoU", segmented),
        ("table7", {"Backbone.": "ViT-S"}, "Top-1 Acc", tuned),
        ("table7", {"Backbone.": "ViT-S"}, "mIoU", segmented),
    ):
        for row in (_named(tables[name].columns, cells) for cells in tables[name].rows):
            if row["Method"] == load_reference().ours and all(row[label] == word for label, word in labels.items()):
                into[int(row["P.T."])] = float(row[column])
    return [
        ("Paper, ViT-S\nFinetuning, ImageNet", "Top-1 accuracy (%)", sorted(tuned.items())),
        ("Paper, ViT-S\nSegmentation, ADE20K", "mIoU (%)", sorted(segmented.items())),
    ]


def _named(columns: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    return dict(zip(columns, cells, strict=True))
