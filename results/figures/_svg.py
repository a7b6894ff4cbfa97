"""Draws figures as SVG elements that can be combined in one HTML page."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.figures import find_figure
from results.figures._style import style

if TYPE_CHECKING:
    import pandas as pd

    from results.store import Run


def inline_svg(name: str, runs: Sequence[Run], frame: pd.DataFrame) -> str:
    """Figure ``name`` as one ``<svg>`` element without external links.

    Ids begin with the figure's name, so that they are unique on a page with several figures. The element is hidden from
    screen readers, because the page has the caption and the numbers.

    Raises
    ------
    InputError
        Unknown figure, or nothing to show.
    """
    with style(name):
        figure = find_figure(name).draw(runs, frame)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Remove matplotlib's CSS: inside a page it would apply to every element.
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    svg = svg.replace("url(#", f"url(#{name}-")
    return re.sub(r"^<svg[^>]*>", _opening_tag, svg, count=1).strip()


def _opening_tag(tag: re.Match[str]) -> str:
    box = re.search(r'viewBox="([^"]*)"', tag.group())
    assert box is not None, "matplotlib writes a viewBox"
    width = float(box.group(1).split()[2])
    return (
        f'<svg viewBox="{box.group(1)}" aria-hidden="true" focusable="false" '
        f'style="width: 100%; max-width: {width:.0f}pt; min-width: {0.75 * width:.0f}pt">'
    )
