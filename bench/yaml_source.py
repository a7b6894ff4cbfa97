"""YAML that remembers where everything stands, so that a message can say ``digits.yaml:7``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.errors import InputError

KeyPath = tuple[str | int, ...]
"""Keys and list positions from the top of a file down to a value."""

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

# `{imagenet: ${DIR}}` is not YAML, since a brace ends a plain word inside braces. Variables therefore travel
# through the parser between two characters that no text uses, and are expanded in the values it found.
_OPEN, _CLOSE = "\ue000", "\ue001"
_TRAVELLING = re.compile(f"{_OPEN}([A-Za-z0-9_]+){_CLOSE}")
_DEEPEST = 50
_PLAIN_TAGS = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}


class _Loader(yaml.SafeLoader):
    """Safe YAML in which 1e-4 is a number, as it is everywhere but in YAML 1.1."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


@dataclass(frozen=True)
class Source:
    """A YAML document as plain data, with the place each part of it came from."""

    name: str
    data: Any
    places: Mapping[KeyPath, str]

    def where(self, path: KeyPath) -> str:
        """The place of ``path``, or of the nearest part around it: ``digits.yaml:7``."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return self.name


def load_yaml(path: Path) -> Source:
    """Read one YAML file.

    Raises
    ------
    InputError
        The file can't be read, is not YAML, or says the same key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"{path}: can't be read ({reason})") from error
    return parse_yaml(text, path.name)


def parse_yaml(text: str, name: str) -> Source:
    """``text`` as data; ``${NAME}`` stands for an environment variable and stays as it is when unset."""
    places: dict[KeyPath, str] = {}
    loader = _Loader(VARIABLE.sub(rf"{_OPEN}\1{_CLOSE}", text))
    try:
        node = loader.get_single_node()
        data = None if node is None else _Builder(loader, name, places).build(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{name}{line}: not valid YAML ({_with_variables(error.problem)})") from error
    except yaml.YAMLError as error:
        raise InputError(f"{name}: not valid YAML ({error})") from error
    finally:
        loader.dispose()
    return Source(name, data, places)


def parse_value(text: str) -> Any:
    """One value as it would be written in a sweep, e.g. ``[0, 1]``.

    Raises
    ------
    InputError
        The text is not YAML.
    """
    return parse_yaml(text, f"value {text!r}").data


@dataclass(frozen=True)
class _Builder:
    loader: _Loader
    name: str
    places: dict[KeyPath, str]

    def build(self, node: yaml.Node, path: KeyPath) -> Any:
        if len(path) > _DEEPEST:
            raise InputError(f"{self._at(node)}: nested more than {_DEEPEST} deep")
        self.places.setdefault(path, self._at(node))
        if isinstance(node, yaml.CollectionNode) and node.tag not in _PLAIN_TAGS:
            raise InputError(f"{self._at(node)}: not plain YAML (tag {node.tag})")
        if isinstance(node, yaml.MappingNode):
            return dict(self._pairs(node, path))
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, position)) for position, item in enumerate(node.value)]
        return self._scalar(node)

    def _pairs(self, node: yaml.MappingNode, path: KeyPath) -> Iterator[tuple[str, Any]]:
        seen: dict[str, str] = {}
        for key_node, value_node in node.value:
            key = self._scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                raise InputError(f"{self._at(key_node)}: a key must be a word")
            if key in seen:
                raise InputError(f"{self._at(key_node)}: key {key!r} stands twice, first at {seen[key]}")
            seen[key] = self._at(key_node)
            self.places[(*path, key)] = self._at(key_node)
            yield key, self.build(value_node, (*path, key))

    def _scalar(self, node: yaml.Node) -> Any:
        text = node.value
        if _OPEN in text:
            expanded = _with_variables(text)
            # A plain word is typed by what it became: `epochs: ${EPOCHS}` is a number.
            plain = isinstance(node, yaml.ScalarNode) and node.style is None
            tag = self._implicit_tag(expanded) if plain else node.tag
            node = yaml.ScalarNode(tag, expanded, node.start_mark, node.end_mark)
        try:
            return self.loader.construct_object(node)
        except ValueError as error:
            raise InputError(f"{self._at(node)}: {node.value!r} is not a value ({error})") from error

    def _implicit_tag(self, text: str) -> str:
        resolve: Callable[..., str] = self.loader.resolve
        return resolve(yaml.ScalarNode, text, (True, False))

    def _at(self, node: yaml.Node) -> str:
        return f"{self.name}:{node.start_mark.line + 1}"


def _with_variables(text: str | None) -> str:
    return _TRAVELLING.sub(lambda found: os.environ.get(found[1], f"${{{found[1]}}}"), text or "")
