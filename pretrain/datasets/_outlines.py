"""Converts a region of pixels to the two forms of COCO's annotation files."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def polygons(silhouette: NDArray[np.bool_]) -> list[list[int]]:
    """Return a rectangle ``[x, y, …]`` per horizontal run of pixels; together they cover the silhouette exactly."""
    found = []
    for row, line in enumerate(silhouette):
        edges = _edges(line)
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            found.append([start, row, stop, row, stop, row + 1, start, row + 1])
    return found


def run_lengths(silhouette: NDArray[np.bool_]) -> dict[str, Any]:
    """Return COCO's uncompressed form: lengths of runs of 0, 1, 0, … down the columns."""
    flat = silhouette.ravel(order="F")
    bounds = [0, *_edges(flat)]
    if bounds[-1] != len(flat):
        bounds.append(len(flat))
    return {"counts": [b - a for a, b in pairwise(bounds)], "size": list(silhouette.shape)}


def _edges(line: NDArray[np.bool_]) -> list[int]:
    """Return the positions where runs of True start and stop, alternately."""
    import numpy as np

    padded = np.concatenate(([False], line, [False]))
    return [int(place) for place in np.flatnonzero(padded[1:] != padded[:-1])]
