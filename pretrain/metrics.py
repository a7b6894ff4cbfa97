"""Declares metrics: name, label, unit, direction and decimals of each number. Imports no torch."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

from pretrain.errors import InputError

MOST_DECIMALS = 9
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric that a training or an evaluation returns.

    Parameters
    ----------
    name
        Key in the returned metrics. A placeholder such as ``{k}`` in ``knn_k{k}`` stands for letters, digits and
        ``_``; the same placeholder in ``label`` is filled with them.
    unit
        Printed after the value; empty for a number without a unit. A value in ``%`` lies in 0…100.
    higher_is_better
        None if neither direction is better.
    tolerance
        The largest difference, in the metric's unit, between two correct runs of one protocol; None if unknown.
    headline
        Whether comparisons and figures show the metric. Records and tables hold all metrics.
    optional
        Whether the metric may be missing, as a top-5 accuracy on data with few classes is.
    """

    name: str
    label: str
    unit: str
    higher_is_better: bool | None
    decimals: int = 1
    tolerance: float | None = None
    headline: bool = False
    optional: bool = False

    def __post_init__(self) -> None:
        for field, text in (("name", self.name), ("label", self.label), ("unit", self.unit)):
            if not isinstance(text, str) or not text.isprintable() or (field != "unit" and not text.strip()):
                raise ValueError(f"metric {self.name!r}: its {field} must be text in one line, not {text!r}")
        if type(self.decimals) is not int or not 0 <= self.decimals <= MOST_DECIMALS:
            raise ValueError(f"metric {self.name}: decimals must be from 0 to {MOST_DECIMALS}, not {self.decimals}")
        if self.tolerance is not None and not 0 <= self.tolerance < math.inf:
            raise ValueError(f"metric {self.name}: tolerance must be a finite number from 0, not {self.tolerance}")
        placeholders = _PLACEHOLDER.findall(self.name)
        for placeholder in placeholders:
            if not placeholder.isidentifier() or placeholders.count(placeholder) > 1:
                raise ValueError(
                    f"metric {self.name}: {{{placeholder}}} must be an identifier that appears in the name once"
                )
        if unknown := set(_PLACEHOLDER.findall(self.label)) - set(placeholders):
            raise ValueError(f"metric {self.name}: its label has a placeholder {{{min(unknown)}}}, its name has none")

    def called(self, name: str) -> Metric | None:
        """Return the metric with placeholders filled so that it is called ``name``; None if ``name`` doesn't fit."""
        parts = _PLACEHOLDER.split(self.name)
        pattern = "".join(f"(?P<{part}>\\w+)" if odd % 2 else re.escape(part) for odd, part in enumerate(parts))
        if (found := re.fullmatch(pattern, name)) is None:
            return None
        return replace(self, name=name, label=_PLACEHOLDER.sub(lambda part: found[part[1]], self.label))


class ReportProgress(Protocol):
    """Adds one row to a run's curves; ``epoch`` may be fractional."""

    def __call__(self, *, epoch: float, total_epochs: float, values: Mapping[str, float]) -> None: ...


PRETRAINING = (
    Metric(name="loss", label="Pretraining loss", unit="", higher_is_better=False, decimals=3),
    Metric(name="top1", label="Top-1 accuracy", unit="%", higher_is_better=True, headline=True),
    Metric(name="top5", label="Top-5 accuracy", unit="%", higher_is_better=True),
)
"""Metrics of the engine. What a method logs besides, its module declares as ``METRICS``."""

FEATURE_STD = Metric(
    name="feature_std", label="Standard deviation of unit features", unit="", higher_is_better=None, decimals=4
)
"""What ``pretrain.methods.parts.collapse.feature_std`` returns."""


def require_metrics(what: str, declared: object) -> tuple[Metric, ...]:
    """Return the declared metrics; ``what`` is who declares them in messages, such as ``evaluator knn``.

    Raises
    ------
    InputError
        They are no tuple of ``Metric``.
    """
    wrong = (
        [metric for metric in declared if not isinstance(metric, Metric)] if isinstance(declared, tuple) else [declared]
    )
    if wrong:
        raise InputError(f"{what}: METRICS must be a tuple of pretrain.metrics.Metric, not {wrong[0]!r}")
    return cast("tuple[Metric, ...]", declared)


def declarations(declared: Sequence[Metric], names: Iterable[str]) -> dict[str, Metric]:
    """Return the declaration of each of these names that has one."""
    fitting = {name: [metric for one in declared if (metric := one.called(name))] for name in names}
    return {name: found[0] for name, found in fitting.items() if found}


def require_declared(what: str, declared: Sequence[Metric], names: Iterable[str]) -> dict[str, Metric]:
    """Return each name's declaration; refuse names without one, and metrics that are missing.

    Raises
    ------
    InputError
        A name is not declared, or a metric that is not optional is missing; ``what`` names the evaluator.
    """
    names = list(names)
    found = declarations(declared, names)
    allowed = ", ".join(metric.name for metric in declared)
    if undeclared := [name for name in names if name not in found]:
        raise InputError(f"{what} returns the metric {undeclared[0]!r}, which its METRICS lack; they declare {allowed}")
    for metric in declared:
        if not metric.optional and not any(metric.called(name) for name in names):
            raise InputError(
                f"{what} declares the metric {metric.name!r} in METRICS and returns only {', '.join(names) or 'none'}; "
                "declare it optional=True if it can be missing"
            )
    return found
