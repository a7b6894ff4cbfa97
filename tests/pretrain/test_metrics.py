"""Declarations of metrics: placeholders, what is refused when it is written and when it is used."""

from __future__ import annotations

from typing import Any

import pytest

from pretrain.errors import InputError
from pretrain.metrics import Metric, declarations, require_declared, require_metrics


def declare(name: str, **more: Any) -> Metric:
    return Metric(**{"name": name, "label": name.upper(), "unit": "px", "higher_is_better": False, **more})


NEIGHBOURS = declare("knn_k{k}", label="Top-1, k = {k}")
DECLARED = (declare("error"), NEIGHBOURS, declare("top5", optional=True))


@pytest.mark.parametrize(
    ("name", "label"), [("knn_k5", "Top-1, k = 5"), ("knn_k20", "Top-1, k = 20"), ("knn_k", None), ("xknn_k5", None)]
)
def test_a_placeholder_stands_for_a_word(name: str, label: str | None) -> None:
    found = NEIGHBOURS.called(name)
    assert (found and (found.name, found.label)) == (label and (name, label))


def test_a_name_is_taken_by_the_first_that_fits_and_dots_are_dots() -> None:
    both = (declare("a.b"), declare("{x}", label="any {x}"))
    found = declarations(both, ["a.b", "axb"])
    assert {name: metric.label for name, metric in found.items()} == {"a.b": "A.B", "axb": "any axb"}


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["error", "knn_k1"], None),
        (["knn_k1", "error", "top5", "knn_k5"], None),
        (
            ["error", "knn_k1", "time"],
            "evaluator mine returns the metric 'time', which its METRICS lack; they declare error, knn_k{k}, top5",
        ),
        (
            ["knn_k1"],
            "evaluator mine declares the metric 'error' in METRICS and returns only knn_k1; declare it optional=True "
            "if it can be missing",
        ),
        (
            [],
            "evaluator mine declares the metric 'error' in METRICS and returns only none; declare it",
        ),
    ],
)
def test_what_is_returned_must_be_what_is_declared(names: list[str], sentence: str | None) -> None:
    if sentence is None:
        assert set(require_declared("evaluator mine", DECLARED, names)) == set(names)
        return
    with pytest.raises(InputError) as refused:
        require_declared("evaluator mine", DECLARED, names)
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize(
    "wrong",
    [
        {"decimals": -1},
        {"decimals": 10},
        {"decimals": 1.0},
        {"decimals": True},
        {"tolerance": -0.1},
        {"tolerance": float("nan")},
        {"label": "of {k}"},
        {"label": "two\nlines"},
        {"label": " "},
        {"unit": None},
        {"unit": "\x1b[31mm"},
        {"name": ""},
        {"name": "{k}_{k}"},
        {"name": "at_{1}"},
    ],
)
def test_a_declaration_that_cannot_be_printed_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="metric "):
        Metric(**{"name": "error", "label": "Error", "unit": "px", "higher_is_better": False, **wrong})


@pytest.mark.parametrize("wrong", [None, [NEIGHBOURS], ("error",), (NEIGHBOURS, 3)])
def test_only_a_tuple_of_metrics_declares(wrong: object) -> None:
    with pytest.raises(InputError, match=r"evaluator mine: METRICS must be a tuple of pretrain\.metrics\.Metric, not "):
        require_metrics("evaluator mine", wrong)
