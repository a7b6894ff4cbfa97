"""Prints a comparison as terminal table, Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

from results.columns import Role, declared
from results.compare.pairing import Comparison, Group
from results.errors import InputError
from results.metrics import BETTER
from results.statistics import CONFIDENCE

NO_PAIR = "No two runs differ in nothing but the method, so there is nothing to compare."
_ALWAYS_SHOWN = ("backbone", "protocol", "dataset", "metric")


def render_comparison(comparison: Comparison, format: str) -> str:  # noqa: A002
    """Return the comparison as ``terminal``, ``md``, ``csv`` or ``json`` text.

    Raises
    ------
    InputError
        Unknown format.
    """
    renderers: dict[str, Callable[[Comparison], str]] = {
        "terminal": _terminal,
        "md": _markdown,
        "csv": _csv,
        "json": _json,
    }
    if format not in renderers:
        raise InputError(f"no comparison format {format!r}; allowed: {', '.join(renderers)}")
    return renderers[format](comparison)


def heading(comparison: Comparison) -> str:
    """Return the title of a comparison: ``opera − moco_v3``."""
    return f"{comparison.method} − {comparison.baseline}"


def notes(comparison: Comparison) -> list[str]:
    """Return the notes below the table: settings that all groups share, metrics, and how Δ, p and W–L–T are defined."""
    shared = _shared_fields(comparison)
    alike = [f"Equal throughout: {', '.join(f'{k} {_plain(v)}' for k, v in shared.items())}."] if shared else []
    metrics = {
        f"{group.fields['metric']}: {group.metric.label}{unit}, {BETTER[group.metric.higher_is_better]}."
        for group in comparison.groups
        for unit in [f" in {group.metric.unit}" if group.metric.unit else ""]
    }
    return [
        *alike,
        *sorted(metrics),
        f"Δ is the mean of the differences between runs of equal seed, with the two-sided {CONFIDENCE:.0%} "
        "interval and p of the paired t-test; W–L–T counts pairs won, lost, tied. "
        "p values are not corrected for the number of rows.",
    ]


def header(comparison: Comparison) -> list[str]:
    """Return the column titles of ``cells``."""
    titles = [field.replace("_", " ") for field in _shown_fields(comparison)]
    return [*titles, comparison.method, comparison.baseline, f"Δ [{CONFIDENCE:.0%}]", "p", "W–L–T", "verdict"]


def cells(comparison: Comparison, group: Group) -> list[str]:
    """Return one group's row as text, one cell for each title of ``header``."""
    values = {**group.fields, **group.settings}
    decimals = group.metric.decimals
    difference = group.difference
    interval = ""
    if difference.low is not None and difference.high is not None:
        interval = f" [{_signed(difference.low, decimals)}, {_signed(difference.high, decimals)}]"
    return [
        *(_plain(values[field]) for field in _shown_fields(comparison)),
        f"{group.method_mean:.{decimals}f}",
        f"{group.baseline_mean:.{decimals}f}",
        _signed(difference.mean, decimals) + interval,
        _p_value(difference.p_value),
        "–" if group.metric.higher_is_better is None else f"{difference.wins}–{difference.losses}–{difference.ties}",
        group.verdict,
    ]


def _shown_fields(comparison: Comparison) -> list[str]:
    """Return ``_ALWAYS_SHOWN`` and each field that distinguishes groups which the fields before it don't."""
    rows = [{**group.fields, **group.settings} for group in comparison.groups]
    if not rows:
        return list(_ALWAYS_SHOWN)
    shown = list(_ALWAYS_SHOWN)
    for field in rows[0]:
        # Skip a field that the shown ones determine, such as a fingerprint where each dataset has one.
        if field not in shown and not _is_implied(rows, field, shown):
            shown.append(field)
    return shown


def _is_implied(rows: list[dict[str, Any]], field: str, shown: Sequence[str]) -> bool:
    """Return whether the values of ``shown`` determine the value of ``field`` in all rows."""
    seen: dict[tuple[Any, ...], Any] = {}
    keys = ((tuple(row[key] for key in shown), row[field]) for row in rows)
    return all(seen.setdefault(key, value) == value for key, value in keys)


def _shared_fields(comparison: Comparison) -> dict[str, Any]:
    shown = [field for field in declared(Role.SCALE) if field not in _ALWAYS_SHOWN]
    values = {field: {group.fields[field] for group in comparison.groups} for field in shown}
    return {field.replace("_", " "): found.pop() for field, found in values.items() if len(found) == 1}


def _terminal(comparison: Comparison) -> str:
    from rich.console import Console
    from rich.table import Table

    if not comparison.groups:
        return "\n".join([f"{heading(comparison)}: {NO_PAIR}", *unpaired_lines(comparison)]) + "\n"
    table = Table(title=heading(comparison), title_justify="left", caption_justify="left")
    for title in header(comparison):
        numeric = title in (comparison.method, comparison.baseline, "p", "W–L–T") or title.startswith("Δ")
        table.add_column(title, justify="right" if numeric else "left")
    for group in comparison.groups:
        table.add_row(*cells(comparison, group))
    console = Console()
    with console.capture() as captured:
        console.print(table, markup=False)
        for line in [*notes(comparison), *unpaired_lines(comparison)]:
            console.print(line, markup=False, highlight=False)
    return captured.get()


def _markdown(comparison: Comparison) -> str:
    if not comparison.groups:
        lines = [f"- {line}" for line in unpaired_lines(comparison)]
        return "\n".join([f"### {heading(comparison)}", "", NO_PAIR, *([""] if lines else []), *lines]) + "\n"
    titles = header(comparison)
    rows = [titles, ["---"] * len(titles), *(cells(comparison, group) for group in comparison.groups)]
    table = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    unpaired = unpaired_lines(comparison)
    lines = [f"### {heading(comparison)}", "", *table]
    for note in notes(comparison):
        lines += ["", note]
    return "\n".join([*lines, *([""] if unpaired else []), *(f"- {line}" for line in unpaired)]) + "\n"


def _csv(comparison: Comparison) -> str:
    rows = [_flat(comparison, group) for group in comparison.groups]
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "seeds": " ".join(map(str, row["seeds"]))} for row in rows)
    return text.getvalue()


def _json(comparison: Comparison) -> str:
    document = {
        "method": comparison.method,
        "baseline": comparison.baseline,
        "confidence": CONFIDENCE,
        "groups": [_flat(comparison, group) for group in comparison.groups],
        "unpaired": [vars(unpaired) for unpaired in comparison.unpaired],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _flat(comparison: Comparison, group: Group) -> dict[str, Any]:
    difference = {key: value for key, value in vars(group.difference).items() if key not in ("n", "mean")}
    return {
        "method": comparison.method,
        "baseline": comparison.baseline,
        **group.fields,
        **group.settings,
        "label": group.metric.label,
        "higher_is_better": group.metric.higher_is_better,
        "n": group.difference.n,
        "seeds": list(group.seeds),
        "method_mean": group.method_mean,
        "baseline_mean": group.baseline_mean,
        "difference": group.difference.mean,
        **difference,
        "verdict": group.verdict,
    }


def unpaired_lines(comparison: Comparison) -> list[str]:
    """Return lines that list the runs without a partner, one line per variant and reason."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for unpaired in comparison.unpaired:
        by_reason.setdefault((unpaired.variant, unpaired.reason), []).append(unpaired.run_id)
    return [
        f"not paired, {len(ids)} of {label}: {reason} [{', '.join(ids)}]" for (label, reason), ids in by_reason.items()
    ]


def _signed(value: float, decimals: int) -> str:
    return f"{value:+.{decimals}f}".replace("-", "−")


def _p_value(p_value: float | None) -> str:
    if p_value is None:
        return "–"
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _plain(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:g}" if isinstance(value, float) else str(value)
