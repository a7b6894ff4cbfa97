"""Strict YAML for files that users write: YAML 1.2 scalars, a line for every value, bounded time and memory."""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from pretrain.errors import InputError, shorten

KeyPath = tuple[str | int, ...]
"""Keys and list indices from the top of a file down to a value."""

LARGEST_FILE = 64 * 1024
"""Bytes. The parser reads about 75 kB per second; the largest shipped file has 1.5 kB."""
MOST_NODES = 5_000
"""Number of keys and values; those behind an alias count every time it is used."""
DEEPEST = 50
LONGEST_NUMBER = 40
"""Characters. Every number that fits a setting is shorter, and Python converts long integers in quadratic time."""

# The core schema of YAML 1.2, except that 010 stays text: a reader can't tell whether it means 8 or 10.
_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE, _FALSE = re.compile(r"true|True|TRUE"), re.compile(r"false|False|FALSE")
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_OCTAL, _HEXADECIMAL = re.compile(r"0o[0-7]+"), re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

_BRACKETS = re.compile(rf"([\[{{][ \t\r\n]*){{{DEEPEST + 1}}}")
"""Brackets opened one after the other: the parser looks ahead in quadratic time before it returns the first."""
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
"""Control characters, unpaired surrogates and byte order marks."""


@dataclass(frozen=True)
class Source:
    """A YAML document as plain data, with the file and line of each part."""

    name: str
    data: Any
    places: Mapping[KeyPath, str]

    def where(self, path: KeyPath) -> str:
        """Return file and line of ``path``, or of the nearest part around it: ``digits.yaml:7``."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return self.name


def read_text(path: Path) -> str:
    """Return the text of a small regular UTF-8 file.

    Raises
    ------
    InputError
        The file can't be opened, is a directory, a pipe or a device, is too large, or is not UTF-8.
    """
    try:
        # Without O_NONBLOCK, opening a pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"{shorten(str(path))}: can't be read ({reason})") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(f"{path}: can't be read (not a regular file)")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise InputError(f"{path}: larger than {LARGEST_FILE // 1024} KiB; such a file is at most that large")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{path}:{line}: can't be read (not UTF-8 text)") from error


def parse(text: str, name: str, expand: Callable[[str], str] | None = None) -> Source:
    """Parse ``text`` to plain data.

    Parameters
    ----------
    name
        The text's name in messages, such as its file name.
    expand
        Replaces variables in a scalar. A plain scalar gets its type after the replacement.

    Raises
    ------
    InputError
        Not YAML, or YAML with tags, directives, several documents, duplicate keys, control characters, numbers that no
        setting takes, or more nodes, nesting or text than any sweep needs.
    """
    if len(text.encode("utf-8", "surrogatepass")) > LARGEST_FILE:
        raise InputError(f"{name}: longer than {LARGEST_FILE // 1024} KiB")
    if found := _FORBIDDEN.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise InputError(f"{name}:{line}: {_character(found[0])} is not allowed in YAML")
    if found := _BRACKETS.search(text):
        raise InputError(f"{name}:{text.count(chr(10), 0, found.start()) + 1}: nested more than {DEEPEST} deep")
    builder = _Builder(name, expand or str)
    try:
        data = builder.document(iter(YAML(typ="safe", pure=True).parse(text)))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        problem = builder.expand(error.problem or error.context or "")
        raise InputError(f"{where}: not valid YAML ({shorten(problem)})") from error
    except (YAMLError, ValueError, IndexError, AttributeError, AssertionError, RecursionError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        # ruamel.yaml raises Python's own exceptions for the escape \U00110000 and for a version of 5,000 digits.
        raise InputError(f"{name}: not valid YAML ({shorten(str(error)) or type(error).__name__})") from error
    return Source(name, data, builder.places)


@dataclass
class _Anchor:
    data: Any
    nodes: int


@dataclass
class _Builder:
    """Builds data from the parser's events, and checks every limit before creating anything."""

    name: str
    expand: Callable[[str], str]
    places: dict[KeyPath, str] = field(default_factory=dict)
    anchors: dict[str, _Anchor | None] = field(default_factory=dict)
    nodes: int = 0

    def document(self, events: Iterator[Event]) -> Any:
        """Return the data of the only document."""
        next(events)  # the start of the stream
        start = next(events)
        if isinstance(start, StreamEndEvent):
            return None
        assert isinstance(start, DocumentStartEvent)
        if start.version or start.tags:
            raise InputError(f"{self._at(start)}: not plain YAML (a % directive)")
        data = self._build(next(events), events, ())
        further = next(islice(events, 1, None))  # after the end of the document
        if not isinstance(further, StreamEndEvent):
            raise InputError(f"{self._at(further)}: not plain YAML (a second document starts here)")
        return data

    def _build(self, event: Event, events: Iterator[Event], path: KeyPath) -> Any:
        before = self.nodes
        self._count(1, event)
        self.places.setdefault(path, self._at(event))
        if isinstance(event, AliasEvent):
            return self._behind(event)
        assert isinstance(event, NodeEvent)
        self._refuse_tag(event)
        if event.anchor:
            self.anchors[event.anchor] = None
        if isinstance(event, CollectionStartEvent):
            if len(path) >= DEEPEST:
                raise InputError(f"{self._at(event)}: nested more than {DEEPEST} deep")
            data = self._collection(event, events, path)
        else:
            data = self._scalar(event)
        if event.anchor:
            self.anchors[event.anchor] = _Anchor(data, self.nodes - before)
        return data

    def _collection(self, event: Event, events: Iterator[Event], path: KeyPath) -> Any:
        if isinstance(event, MappingStartEvent):
            return self._mapping(events, path)
        items: list[Any] = []
        while not isinstance(item := next(events), SequenceEndEvent):
            items.append(self._build(item, events, (*path, len(items))))
        return items

    def _mapping(self, events: Iterator[Event], path: KeyPath) -> dict[str, Any]:
        pairs: dict[str, Any] = {}
        while not isinstance(event := next(events), MappingEndEvent):
            key = None
            if isinstance(event, ScalarEvent):
                self._refuse_tag(event)
                key = self._scalar(event)
                if key == "<<" and not event.style:
                    raise InputError(
                        f"{self._at(event)}: merge keys (<<) are not part of YAML 1.2; write the keys out here"
                    )
            if not isinstance(key, str) or getattr(event, "anchor", None):
                raise InputError(f"{self._at(event)}: a key must be a word")
            inner = (*path, key)
            if key in pairs:
                first = self.places[inner]
                raise InputError(f"{self._at(event)}: key {shorten(repr(key))} appears twice, first at {first}")
            self.places[inner] = self._at(event)
            pairs[key] = self._build(next(events), events, inner)
        return pairs

    def _behind(self, event: AliasEvent) -> Any:
        """Return the data behind an alias; its nodes count again: code that walks the data visits them again."""
        word = event.anchor
        if word not in self.anchors:
            raise InputError(f"{self._at(event)}: alias *{shorten(word)} has no anchor")
        anchor = self.anchors[word]
        if anchor is None:
            raise InputError(f"{self._at(event)}: nested more than {DEEPEST} deep (*{shorten(word)} holds itself)")
        self._count(anchor.nodes, event)
        return anchor.data

    def _scalar(self, event: Event) -> Any:
        assert isinstance(event, ScalarEvent)
        text = self.expand(event.value)
        if found := _FORBIDDEN.search(event.value):
            raise InputError(f"{self._at(event)}: {_character(found[0])} is not allowed in a value or key")
        if event.style:
            return text
        try:
            return typed(text)
        except ValueError as error:
            raise InputError(f"{self._at(event)}: {error}") from error

    def _refuse_tag(self, event: NodeEvent) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise InputError(f"{self._at(event)}: not plain YAML (tag {shorten(str(tag))}); leave the tag out")

    def _count(self, nodes: int, event: Event) -> None:
        self.nodes += nodes
        if self.nodes > MOST_NODES:
            raise InputError(f"{self._at(event)}: more than {MOST_NODES} keys and values, aliases included")

    def _at(self, event: Event) -> str:
        return f"{self.name}:{event.start_mark.line + 1}"


def typed(text: str) -> Any:
    """Return the value of a plain scalar.

    Raises
    ------
    ValueError
        The number is infinite, NaN or too long.
    """
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return _TRUE.fullmatch(text) is not None
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is not a number that a setting can have")
    bases = ((10, _INTEGER), (8, _OCTAL), (16, _HEXADECIMAL))
    base = next((base for base, pattern in bases if pattern.fullmatch(text)), None)
    if base is None and not _FLOAT.fullmatch(text):
        return text
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"{shorten(text)} is a number of {len(text)} characters, out of range for any setting")
    if base is not None:
        return int(text[2:], base) if base != 10 else int(text)
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is out of range for any setting")
    return value


def _character(character: str) -> str:
    kind = "a lone surrogate" if "\ud800" <= character <= "\udfff" else "a control character"
    return f"{kind}, U+{ord(character):04X},"
