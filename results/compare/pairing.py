"""Compares two methods over pairs of runs that differ only in the method.

Two runs form a pair if backbone, batch, epochs, data of pretraining and evaluation (with fingerprints), protocol (with
recipe and all options), metric and seed are equal. An unknown fingerprint of the pretraining's data, such as that of an
imported checkpoint, equals any other. A run without a partner is listed with the columns in which the nearest candidate
differs; it never enters a mean.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from results.columns import Role, Row, declared, differing, is_implied, method_options, sort_key, undeclared
from results.errors import InputError
from results.metrics import Metric
from results.reference import load_methods
from results.statistics import PairedDifference, mean, paired_difference
from results.variants import evaluations, variant, variants

if TYPE_CHECKING:
    import pandas as pd

_SCALE = ("global_batch_size", "pretrain_epochs")
_PRETRAIN_DATA = "pretrain_fingerprint"
_SHARED = (*declared(Role.SCALE, Role.EVALUATION), "fingerprint", _PRETRAIN_DATA)
"""Declared columns that are equal in all runs of one group, for both methods."""


@dataclass(frozen=True)
class Group:
    """All pairs in which both methods have one setting each.

    ``difference`` is method − baseline in the unit of ``metric``. ``fields`` holds the columns that both methods share,
    ``settings`` the method's options, its other settings that vary, and its recipe.
    """

    metric: Metric
    fields: dict[str, Any]
    settings: dict[str, Any]
    seeds: tuple[int, ...]
    method_mean: float
    baseline_mean: float
    difference: PairedDifference
    verdict: str


@dataclass(frozen=True)
class Unpaired:
    """A finished evaluation without a partner, and the reason; ``nearest`` is the run id of the closest candidate."""

    run_id: str
    variant: str
    reason: str
    nearest: str | None


@dataclass(frozen=True)
class Comparison:
    """The pairs of two variants, named by their labels, and the runs without a partner."""

    method: str
    baseline: str
    groups: tuple[Group, ...]
    unpaired: tuple[Unpaired, ...]


def compare(frame: pd.DataFrame, method: str, baseline: str | None = None) -> Comparison:
    """Pair each evaluation of ``method`` with the evaluation of ``baseline`` that is equal in all other settings.

    Only headline metrics are compared.

    Parameters
    ----------
    frame
        Frame of ``results.frame.to_frame``.
    method, baseline
        Variant labels, see ``variant``. The default baseline is declared in ``results/reference/methods.yaml``.

    Raises
    ------
    InputError
        No evaluation in the frame has one of the labels, or both labels are equal.
    """
    baseline = baseline or load_methods().baseline
    known = variants(frame)
    for label in (method, baseline):
        if label not in known:
            near = difflib.get_close_matches(label, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise InputError(f"no evaluation of {label!r}; {hint}there is {', '.join(known) or 'none'}")
    if method == baseline:
        raise InputError(f"{method!r} can't be compared with itself; name another baseline")

    rows = [
        {**row, "unit": row["declaration"].unit if row["metric"] else None}
        for row in evaluations(frame)
        if row["metric"] is None or row["declaration"].headline
    ]
    ours_rows, their_rows = ([row for row in rows if variant(row) == label] for label in (method, baseline))
    columns = [str(name) for name in frame.columns]
    shared = (*_SHARED, *undeclared(columns, Role.EVALUATION), "metric", "unit")
    ours = _Side(method, _repeat_random_weights(their_rows, ours_rows), shared)
    theirs = _Side(baseline, _repeat_random_weights(ours_rows, their_rows), shared)
    pairs: dict[tuple[Any, ...], list[tuple[Row, Row]]] = {}
    for a in ours.finished():
        partners = theirs.partners(a)
        if len(partners) == 1:
            b = partners[0]
            a = {**a, _PRETRAIN_DATA: a[_PRETRAIN_DATA] or b[_PRETRAIN_DATA]}
            key = (*(a[field] for field in shared), a["setting"], b["setting"])
            pairs.setdefault(key, []).append((a, b))

    varied = [name for name in undeclared(columns, Role.METHOD) if len({row[name] for row in ours_rows}) > 1]
    options = [name for name in method_options(columns) if any(row[name] is not None for row in ours_rows)]
    settings = (*dict.fromkeys([*options, *varied]), "pretrain_recipe")
    groups = sorted((_group(found, shared, settings, method, baseline) for found in pairs.values()), key=_group_order)
    paired = {row["run_id"] for found in pairs.values() for pair in found for row in pair}
    unpaired = [*_unpaired(ours, theirs, paired), *_unpaired(theirs, ours, paired)]
    return Comparison(method, baseline, tuple(groups), tuple(unpaired))


def verdict(difference: PairedDifference, method: str, baseline: str, higher_is_better: bool | None = True) -> str:
    """Say in one sentence which method is better, or why the pairs don't show a difference."""
    n, low, high = difference.n, difference.low, difference.high
    if n == 1:
        return "n = 1: no spread, no verdict"
    if low is None or high is None:
        return f"n = {n}: equal differences, no spread to judge by"
    if low <= 0 <= high:
        return f"n = {n}: the interval contains 0, no difference shown"
    if higher_is_better is None:
        return f"n = {n}: the interval excludes 0; no direction is declared better"
    better = method if (difference.mean > 0) == higher_is_better else baseline
    return f"n = {n}: {better} better, the interval excludes 0"


def _repeat_random_weights(others: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return ``rows``, each run of 0 pretraining epochs repeated at every batch size and epoch count of ``others``.

    Random weights are the starting point of every pretraining, so they are compared with all of them.
    """
    found = {tuple(row[field] for field in _SCALE) for row in others if row["pretrain_epochs"]}
    scales = sorted(found, key=lambda scale: tuple(0 if size is None else size for size in scale))
    return [
        {**row, **dict(zip(_SCALE, scale, strict=True))}
        for row in rows
        for scale in (scales if scales and row["pretrain_epochs"] == 0 else [tuple(row[field] for field in _SCALE)])
    ]


class _Side:
    """One variant's evaluations, indexed by the fields in which a partner must be equal."""

    def __init__(self, label: str, rows: list[dict[str, Any]], shared: tuple[str, ...]) -> None:
        self.label = label
        self.rows = rows
        self._fields = (*(name for name in shared if name != _PRETRAIN_DATA), "seed")
        self._by_key: dict[tuple[Any, ...], dict[str, Row]] = {}
        for row in self.finished():
            self._by_key.setdefault(self._key(row), {})[row["run_id"]] = row

    def finished(self) -> list[Row]:
        """Return the rows with a value; of runs that share setting and seed, only the one whose run id sorts first."""
        rows: dict[tuple[Any, ...], Row] = {}
        for row in sorted((r for r in self.rows if r["value"] is not None), key=lambda r: str(r["run_id"])):
            alike = ("setting", "fingerprint", _PRETRAIN_DATA, "seed", "metric", *_SCALE)
            rows.setdefault(tuple(row[field] for field in alike), row)
        return list(rows.values())

    def partners(self, row: Row) -> list[Row]:
        found = self._by_key.get(self._key(row), {}).values()
        return [other for other in found if len({row[_PRETRAIN_DATA], other[_PRETRAIN_DATA]} - {None}) < 2]

    def _key(self, row: Row) -> tuple[Any, ...]:
        return tuple(row[field] for field in self._fields)


def _group(
    pairs: list[tuple[Row, Row]], shared: tuple[str, ...], settings: tuple[str, ...], method: str, baseline: str
) -> Group:
    pairs = sorted(pairs, key=lambda pair: int(pair[0]["seed"]))
    first = pairs[0][0]
    metric: Metric = first["declaration"]
    ours, theirs = [float(a["value"]) for a, _ in pairs], [float(b["value"]) for _, b in pairs]
    difference = paired_difference(ours, theirs, metric.higher_is_better is not False)
    return Group(
        metric=metric,
        fields={field: first[field] for field in shared},
        settings={field: first[field] for field in settings},
        seeds=tuple(int(a["seed"]) for a, _ in pairs),
        method_mean=mean(ours),
        baseline_mean=mean(theirs),
        difference=difference,
        verdict=verdict(difference, method, baseline, metric.higher_is_better),
    )


def _group_order(group: Group) -> tuple[tuple[bool, bool, Any], ...]:
    """Return a group's sort key: its values in the order of its fields."""
    return sort_key((*group.fields.values(), *group.settings.values()))


def _unpaired(side: _Side, other: _Side, paired: set[str]) -> list[Unpaired]:
    """Return one line for each finished run of ``side`` without a pair in any metric, and each undefined metric."""
    firsts = {row["run_id"]: row for row in reversed(side.finished()) if row["run_id"] not in paired}
    found = ((run_id, _why_unpaired(row, side, other)) for run_id, row in sorted(firsts.items()))
    undefined = {(row["run_id"], row["metric"]) for row in side.rows if row["metric"] and row["value"] is None}
    return [
        *(Unpaired(run_id, side.label, reason, nearest) for run_id, (reason, nearest) in found),
        *(Unpaired(run_id, side.label, f"its {name} is not defined", None) for run_id, name in sorted(undefined)),
    ]


def _why_unpaired(row: Row, side: _Side, other: _Side) -> tuple[str, str | None]:
    """Return why a row has no partner, and the id of the run of ``other`` that differs in the fewest fields."""
    for label, rows in ((other.label, other.partners(row)), (side.label, side.partners(row))):
        if len(rows) > 1:
            return f"{len(rows)} runs of {label} fit, which differ in {', '.join(differing(rows)) or 'nothing'}", None
    same_protocol = [candidate for candidate in other.rows if candidate["protocol"] == row["protocol"]]
    if not same_protocol:
        return f"{other.label} has no {row['protocol']} run", None
    with_metric = {candidate["run_id"] for candidate in same_protocol if candidate["metric"] == row["metric"]}
    same_protocol = [c for c in same_protocol if c["metric"] == row["metric"] or c["run_id"] not in with_metric]
    nearest = min(same_protocol, key=lambda candidate: (len(_differing(row, candidate)), candidate["run_id"]))
    differ = _differing(row, nearest)
    if differ:
        described = ", ".join(f"{f} ({_shown(f, row[f])}, there {_shown(f, nearest[f])})" for f in differ)
        return f"the nearest {other.label} run differs in {described}", nearest["run_id"]
    missing = f"is {nearest['state']}" if nearest["metric"] is None else f"has no {row['metric']}"
    if nearest["metric"] == row["metric"]:
        missing = f"has a {row['metric']} that is not defined"
    return f"its partner {missing}", nearest["run_id"]


def _differing(row: Row, other: Row) -> list[str]:
    """Return the columns that keep two rows from being a pair.

    Unknown fingerprints, such as an unfinished run's, and the units of two different metrics are not compared.
    """
    unknown = {"fingerprint"} if other["metric"] is None else set()
    unknown |= {_PRETRAIN_DATA} if None in (row[_PRETRAIN_DATA], other[_PRETRAIN_DATA]) else set()
    unknown |= {"unit"} if other["metric"] != row["metric"] else set()
    fields = [*_SHARED, "unit", *undeclared(row, Role.EVALUATION), "seed"]
    differ = [field for field in fields if row[field] != other[field] and field not in unknown]
    return [field for field in differ if not is_implied(field, differ)]


def _shown(field: str, value: Any) -> str:
    return str(value)[:12] if field.endswith("fingerprint") else str(value) or "none"
