"""The generated part of docs/recipes.md. ``python -m tests.docs.recipes`` writes it anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pretrain.recipes import Recipe, load_recipes

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
BEGIN, END = "<!-- generated: begin -->\n", "<!-- generated: end -->\n"


def generated() -> str:
    """Every shipped recipe: what it is for, where its numbers come from, and the numbers."""
    parts = ["## Pretraining", *map(_section, load_recipes("pretrain.recipes"))]
    parts += ["## Evaluation", *map(_section, load_recipes("evaluators.recipes"))]
    return "\n\n".join(parts) + "\n"


def page(text: str) -> str:
    """``text`` with its generated part made anew."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{generated()}\n{END}{rest.partition(END)[2]}"


def _section(recipe: Recipe) -> str:
    used = "; ".join(f"{key} {', '.join(f'`{word}`' for word in words)}" for key, words in recipe.applies_to.items())
    lines = [f"### `{recipe.id}`, version {recipe.version}", "", f"For {used}.", "", f"Source: {recipe.source}", ""]
    lines += ["| setting | value |", "| --- | --- |"]
    lines += [f"| {key} | {_plain(value)} |" for key, value in _leaves(recipe.settings)]
    first = 1
    for entry in recipe.by_epochs:
        epochs = f"{first} to {entry.up_to}" if first < entry.up_to else str(entry.up_to)
        lines += [f"| {epochs} epochs: {key} | {_plain(value)} |" for key, value in _leaves(entry.settings)]
        first = entry.up_to + 1
    return "\n".join(lines)


def _leaves(settings: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{key}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, item in enumerate(value, start=1):
                yield from _leaves(item, f"{above}{key} {number}.")
        else:
            yield f"{above}{key}", value


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
