"""Finds tables and figures that other distributions offer through entry point groups.

If two distributions offer one name, or a shipped table or figure has that name too, using the name raises an error;
other names are not affected.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import NamedTuple

from results.errors import InputError


class Offer(NamedTuple):
    """A table or figure that a distribution offers under a name. ``load`` imports it."""

    name: str
    owner: str
    source: str
    load: Callable[[], object]


@functools.cache
def entry_points_of(group: str) -> tuple[EntryPoint, ...]:
    """Return a group's entry points, sorted. Cached: the search reads the metadata of every installed package."""
    return tuple(sorted(entry_points(group=group), key=lambda point: (point.name, owner_of(point))))


def owner_of(point: EntryPoint) -> str:
    """Return name and version of an entry point's distribution, such as ``shapes-ssl 0.0.1``."""
    metadata = None if point.dist is None else point.dist.metadata
    if metadata is None or not metadata["Name"]:
        return "a distribution without a name"
    return f"{metadata['Name']} {metadata['Version'] or 'without a version'}"


def find(kind: str, name: str, shipped: Iterable[str], offers: Iterable[Offer]) -> Offer | None:
    """Return the offer called ``name``; None if ``name`` is shipped with opera-bench.

    Raises
    ------
    InputError
        No such name: the message gives the nearest match and lists all names. Or the name has two owners.
    """
    shipped, found = set(shipped), [offer for offer in offers if offer.name == name]
    owners = " and ".join(f"{offer.owner} ({offer.source})" for offer in found)
    if found and name in shipped:
        raise InputError(
            f"{kind} {name!r} is shipped with opera-bench, and {owners} offers another one of that name; "
            "rename it there or uninstall it"
        )
    if len(found) > 1:
        raise InputError(f"{kind} {name!r} is offered by {owners}; rename one of the two or uninstall it")
    if found:
        return found[0]
    if name in shipped:
        return None
    known = sorted({*shipped, *(offer.name for offer in offers)})
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise InputError(f"unknown {kind} {name!r}; {hint}allowed: {', '.join(known)}")


def find_refusals(find_one: Callable[[str], object], offers: Iterable[Offer]) -> list[str]:
    """Return one sentence for each offer that ``find_one`` refuses by its name."""
    sentences = []
    for name in sorted({offer.name for offer in offers}):
        try:
            find_one(name)
        except InputError as error:
            sentences.append(str(error))
    return sentences


def load(kind: str, offer: Offer) -> object:
    """Import and return the table or figure of an offer.

    Raises
    ------
    InputError
        The offer's code or file raised an error; the message names its distribution and source.
    """
    try:
        return offer.load()
    except (Exception, SystemExit) as error:  # the plugin's code may raise anything
        lines = str(error).strip().splitlines() or [""]
        fault = lines[0] if isinstance(error, InputError) else f"{type(error).__name__}: {lines[0]}"
        raise InputError(f"{kind} {offer.name!r} of {offer.owner} ({offer.source}) can't be used: {fault}") from error
