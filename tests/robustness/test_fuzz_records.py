"""Records of random damage: each is refused with one sentence, or says what was written."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from results.errors import InputError
from results.record import Record, read_record
from results.seal import seal
from tests.results.synthetic import evaluation, pretraining, write_run
from tests.robustness.conftest import Tally, fuzz_cases

CASES = fuzz_cases(300, tests=5)
ODD = (None, True, -1, 0, 1e308, "", "\x00", "é" * 50, [], {}, [[]], {"a": None}, 2**70, "nan", "99")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    subject = pretraining("opera", seed=1)
    parent = write_run(tmp_path, subject)
    return (
        tmp_path / write_run(tmp_path, evaluation(subject), parents=(parent,), metrics={"top1": 93.25}) / "record.json"
    )


def accepted(path: Path, content: bytes) -> Record | None:
    """The record that ``content`` is read as, or None where it is refused in one line."""
    path.write_bytes(content)
    try:
        return read_record(path)
    except InputError as error:
        sentence = str(error)
    assert len(sentence.splitlines()) == 1
    assert str(path) in sentence
    return None


def flip(draw: random.Random, content: bytes) -> bytes:
    damaged = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 8))):
        damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
    return bytes(damaged)


def cut(draw: random.Random, content: bytes) -> bytes:
    start, end = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    return draw.choice(
        (content[:start], content[start:], content[:start] + content[end:], content[:end] + content[start:])
    )


def replace_bytes(draw: random.Random, content: bytes) -> bytes:
    start = draw.randrange(len(content))
    return content[:start] + draw.randbytes(draw.randrange(1, 64)) + content[start + draw.randrange(64) :]


def reformat(draw: random.Random, content: bytes) -> bytes:
    return json.dumps(json.loads(content), indent=draw.choice((None, 1, 2)), sort_keys=draw.random() < 0.5).encode()


@pytest.mark.parametrize("damage", [flip, cut, replace_bytes, reformat])
def test_no_damaged_bytes_are_accepted(
    path: Path, damage: Callable[[random.Random, bytes], bytes], tally: Tally
) -> None:
    original = path.read_bytes()
    for number in range(CASES):
        damaged = damage(random.Random(f"{damage.__name__} {number}"), original)
        assert damaged == original or accepted(path, damaged) is None, damaged
        tally("fuzz cases, records", 1)


def mutate(draw: random.Random, value: Any) -> Any:
    """``value`` with one thing in it replaced, removed, added or moved."""
    if isinstance(value, dict) and value and draw.random() < 0.9:
        key = draw.choice(sorted(value))
        kind = draw.choice(("inside", "inside", "inside", "remove", "add", "replace"))
        if kind == "inside":
            return {**value, key: mutate(draw, value[key])}
        if kind == "remove":
            return {k: v for k, v in value.items() if k != key}
        return {**value, (key if kind == "replace" else "odd"): draw.choice(ODD)}
    if isinstance(value, list) and value and draw.random() < 0.8:
        index = draw.randrange(len(value))
        return [*value[:index], mutate(draw, value[index]), *value[index + 1 :]]
    return draw.choice(ODD)


def test_a_valid_seal_makes_no_record_of_anything(path: Path, tally: Tally) -> None:
    """Whoever seals other content gets it refused, or gets a record whose run is still the one it lies under."""
    original = json.loads(path.read_bytes())
    del original["sha256"]
    for number in range(CASES):
        content = mutate(random.Random(number), original)
        tally("fuzz cases, records", 1)
        if not isinstance(content, dict) or not content:
            continue
        found = accepted(path, seal(json.dumps(content)).encode())
        if found is not None:
            assert (found.run_id, found.stage) == (original["run_id"], original["stage"])
            subject = found.config["pretrain"]
            words = {"source"}
            for part in ("pretrain", "evaluator"):
                kept, written = found.config[part], original["config"][part]
                assert {k: v for k, v in kept["recipe"].items() if k not in words} == {
                    k: v for k, v in written["recipe"].items() if k not in words
                }
                assert {k: v for k, v in kept.items() if k != "recipe"} == {
                    k: v for k, v in written.items() if k != "recipe"
                }
            assert subject["seed"] == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"\xff\xfe",
        b"\x00" * 100,
        b"[" * 100_000,
        b'{"schema_version": ' + b"9" * 5000 + b"}",
        b'{"a": ' * 50_000,
        b"null",
    ],
)
def test_what_is_no_record_is_refused(path: Path, content: bytes) -> None:
    assert accepted(path, content) is None


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"schema_version": 4, "everything": "else"}', "schema 4.*upgrade opera-bench"),
        ('{"mood": "good", "schema_version": 99}', "schema 99.*upgrade opera-bench"),
        ('{"schema_version": 1, "run_id": "x"}', "schema 1, whose records carry no checksum"),
    ],
)
def test_the_schema_version_is_read_before_anything_else(path: Path, content: str, told: str) -> None:
    path.write_text(content)
    with pytest.raises(InputError, match=told):
        read_record(path)
