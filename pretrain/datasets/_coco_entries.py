"""Finds faults in entries of a COCO annotation file that would mislead or break training or testing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Size = tuple[int, int]
_LARGEST_ID = 2**53
"""pycocotools stores ids as float64, which is exact for integers up to this."""
_LARGEST_NUMBER = 1e9
_BOX_MARGIN_PIXELS = 2
"""Pixels by which a box may exceed its image: published boxes are rounded."""
_TOLERATED_PER = 1_000
"""1 in this many annotations may be degenerate: COCO's own train2017 contains boxes of height 0."""
_MASK_SOURCE = "a list of polygons [x, y, x, y, x, y, …] or a run-length encoding"


class Fault(NamedTuple):
    """One fault; ``kind`` groups similar sentences. A few degenerate annotations are tolerated."""

    kind: str
    words: str
    degenerate: bool = False


def image_fault(entry: Any) -> Fault | None:
    """Return what an entry of the table ``images`` lacks, or None."""
    return _lacking(
        entry,
        {
            "id": _is_id(_get(entry, "id")),
            "file_name": isinstance(_get(entry, "file_name"), str),
            "height": _is_id(_get(entry, "height"), smallest=1),
            "width": _is_id(_get(entry, "width"), smallest=1),
        },
    )


def category_fault(entry: Any) -> Fault | None:
    """Return what an entry of the table ``categories`` lacks, or None."""
    return _lacking(entry, {"id": _is_id(_get(entry, "id")), "name": isinstance(_get(entry, "name"), str)})


def annotation_fault(entry: Any, images: Mapping[int, Size], categories: Collection[int]) -> Fault | None:
    """Return the first fault of an entry of the table ``annotations``, or None.

    Parameters
    ----------
    images
        Width and height by image id; empty if unknown.
    categories
        The known ids; empty if unknown.
    """
    if fault := _lacking(entry, {key: _is_id(_get(entry, key)) for key in ("image_id", "category_id")}):
        return fault
    if not _is_id(entry.get("id"), smallest=1):
        if entry.get("id") == 0:
            return Fault("id", "has the id 0, which pycocotools reads as 'no match'; number the annotations from 1")
        return Fault("id", "has no valid id; allowed: integers from 1 on, each once")
    for key, known, table in (("image_id", images, "images"), ("category_id", categories, "categories")):
        if known and entry[key] not in known:
            return Fault(key, f"has {key} {entry[key]}, which is not in the table {table!r}")
    if type(entry.get("iscrowd", 0)) not in (int, bool) or entry.get("iscrowd", 0) not in (0, 1):
        return Fault("iscrowd", "has an iscrowd that is neither 0 nor 1")
    size = images.get(entry["image_id"])
    faults = (_box_fault(entry.get("bbox"), size), _area_fault(entry.get("area")), _segmentation_fault(entry, size))
    found = [fault for fault in faults if fault is not None]
    # Report a fault that stops the library before one that may be tolerated.
    return min(found, key=lambda fault: fault.degenerate, default=None)


def tolerated(count: int, annotations: int) -> bool:
    """Return whether ``count`` degenerate annotations are few enough to leave to the library, which skips them."""
    return count * _TOLERATED_PER <= annotations


def _box_fault(box: Any, size: Size | None) -> Fault | None:
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        return Fault("bbox", "has no 'bbox' of four numbers: left, top, width, height")
    left, top, width, height = box
    if width < 0 or height < 0:
        return Fault("bbox", f"has a box of negative size, {_number(width)}×{_number(height)} pixels")
    if not width or not height:
        return Fault("empty box", f"has a box of {_number(width)}×{_number(height)} pixels", degenerate=True)
    if size is None:
        return None
    beyond = max(-left, -top, left + width - size[0], top + height - size[1])
    if beyond > _BOX_MARGIN_PIXELS:
        return Fault(
            "box outside",
            f"has a box that reaches {_number(beyond)} pixels beyond its image ({size[0]}×{size[1]}); a box is left, "
            "top, width, height",
            degenerate=True,
        )
    return None


def _area_fault(area: Any) -> Fault | None:
    if not _is_number(area) or area < 0:
        return Fault("area", "has no 'area', a number of pixels")
    return None if area else Fault("area 0", "has an area of 0", degenerate=True)


def _segmentation_fault(entry: Mapping[str, Any], size: Size | None) -> Fault | None:
    shape = entry.get("segmentation")
    if not shape:
        missing = "an empty 'segmentation'" if "segmentation" in entry else "no 'segmentation'"
        return Fault("segmentation", f"has {missing}; masks are trained and judged by {_MASK_SOURCE}")
    if isinstance(shape, dict):
        return _run_length_fault(shape, size)
    if not isinstance(shape, list):
        return Fault("segmentation", f"has a 'segmentation' that is not {_MASK_SOURCE}")
    for polygon in shape:
        if fault := _polygon_fault(polygon, size):
            return fault
    if not any(_area(polygon) and _meets(polygon, size) for polygon in shape):
        return Fault("flat polygon", "has polygons that enclose nothing of its image", degenerate=True)
    return None


def _polygon_fault(polygon: Any, size: Size | None) -> Fault | None:
    if not isinstance(polygon, list) or not set(map(type, polygon)) <= {int, float}:
        return Fault("polygon", "has a polygon that is not a list of numbers")
    if len(polygon) % 2:
        return Fault("polygon", f"has a polygon of {len(polygon)} coordinates; a point has two")
    if len(polygon) < 6:
        return Fault("short polygon", f"has a polygon of {len(polygon) // 2} points; three are needed")
    reach = _LARGEST_NUMBER if size is None else 2 * max(size)
    # A comparison with NaN is False. Points far away would keep pycocotools drawing for minutes.
    if not (min(polygon) >= -reach and max(polygon) <= reach and sum(polygon) == sum(polygon)):
        return Fault("polygon", "has a polygon with points far outside its image")
    return None


def _area(polygon: Sequence[float]) -> float:
    """Return twice the signed area, by the shoelace formula."""
    xs, ys = polygon[::2], polygon[1::2]
    return sum(
        x * after - y * before for x, y, before, after in zip(xs, ys, [*xs[1:], xs[0]], [*ys[1:], ys[0]], strict=True)
    )


def _meets(polygon: Sequence[float], size: Size | None) -> bool:
    """Return whether the polygon's bounding box overlaps the image."""
    xs, ys = polygon[::2], polygon[1::2]
    return size is None or (max(xs) > 0 and max(ys) > 0 and min(xs) < size[0] and min(ys) < size[1])


def _run_length_fault(shape: Mapping[str, Any], size: Size | None) -> Fault | None:
    extent, counts = shape.get("size"), shape.get("counts")
    if not isinstance(extent, list) or len(extent) != 2 or not all(_is_id(side, smallest=1) for side in extent):
        return Fault("run lengths", "has run lengths without their 'size', [height, width]")
    if size is not None and (extent[1], extent[0]) != size:
        return Fault(
            "run lengths", f"has run lengths of {extent[1]}×{extent[0]} pixels, but its image has {size[0]}×{size[1]}"
        )
    runs = list(_decoded_runs(counts)) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(_is_id(run) for run in runs):
        return Fault("run lengths", "has run lengths that are not counts of pixels")
    if sum(runs) != extent[0] * extent[1]:
        return Fault(
            "run lengths",
            f"has run lengths that add up to {sum(runs):,} pixels and not to {extent[0] * extent[1]:,}",
        )
    if not sum(runs[1::2]):
        return Fault("empty run lengths", "has run lengths that cover no pixel", degenerate=True)
    return None


def _decoded_runs(text: str) -> Iterator[int]:
    """Yield run lengths from COCO's compressed text: 5 bits per character; from the third run on, differences."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            yield -1
            return
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            yield runs[-1]
            value = shift = 0
    if shift:
        yield -1


def _lacking(entry: Any, is_valid: Mapping[str, bool]) -> Fault | None:
    absent = [key for key in is_valid if not isinstance(entry, dict) or key not in entry]
    if absent:
        return Fault("lacks", f"lacks {', '.join(map(repr, absent))}")
    invalid = [key for key, valid in is_valid.items() if not valid]
    if invalid:
        allowed = "ids and sizes are whole numbers, names are texts"
        return Fault("invalid", f"has an invalid {', '.join(map(repr, invalid))}; {allowed}")
    return None


def _get(entry: Any, key: str) -> Any:
    return entry.get(key) if isinstance(entry, dict) else None


def _is_id(value: Any, *, smallest: int = 0) -> bool:
    return type(value) is int and smallest <= value <= _LARGEST_ID


def _is_number(value: Any) -> bool:
    """Return whether ``value`` is a finite number of plausible size; comparisons with NaN are False."""
    return type(value) in (int, float) and -_LARGEST_NUMBER < value < _LARGEST_NUMBER


def _number(value: float) -> str:
    return f"{value:.6g}"
