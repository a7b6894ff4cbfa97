"""Damaged COCO and ADE20K folders: the check answers with sentences, in less than a second and 500 MB.

``OPERA_BENCH_FUZZ_CASES`` says how many cases of all kinds together; every case follows from its seed alone.
"""

from __future__ import annotations

import json
import os
import random
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pretrain.datasets import find_dataset
from tests.evaluators.dense.variants import write_ade, write_coco
from tests.robustness.conftest import Tally, fuzz_cases
from tests.robustness.limits import SECONDS, timed

CASES = fuzz_cases(150, tests=3.1)
LIMIT_KB = 500_000

SCALARS: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(10**300), 10**300, 0.5, -0.0, 1e308, float("nan"), float("inf"),
    "", "0", "person", "\x1b[31m", "\ud800", "\x00", "../" * 9 + "etc/passwd", "P" * 10_000, "`" * 1_000, [], {},
    [[]], [{}], [[0.5] * 5], [[1e300] * 6], {"counts": [], "size": []}, {"counts": "", "size": [32, 32]},
    {"counts": [2**62, 2**62], "size": [32, 32]}, {"counts": "~~~~", "size": [32, 32]},
    {"counts": [1024], "size": [2**40, 2**40]}, [0] * 10_000,
)  # fmt: skip
TEXTS = ("[" * 100_000, "{" * 1_000, '{"a":' * 50_000, "9" * 10_000, "", "null", "[]", "{}", '"x"', "\ufeff{}", "\x00")


def checked(name: str, root: Path, what: str) -> list[str]:
    """The sentences of the check, which took no more time and memory than it may."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    problems, seconds = timed(lambda: find_dataset(name).check(root))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert seconds < SECONDS, f"{what}: {seconds:.1f} s"
    assert grown < LIMIT_KB, f"{what}: {grown} kB"
    for problem in problems:
        assert "\n" not in problem, what
        problem.encode()  # can be printed
        assert "\x1b" not in problem, what
    return problems


def mutate(value: Any, generator: random.Random) -> Any:
    """The value with one place in it replaced, removed or repeated."""
    if isinstance(value, dict) and value and generator.random() < 0.9:
        key = generator.choice(sorted(value))
        changed = dict(value)
        if generator.random() < 0.2:
            del changed[key]
        else:
            changed[key] = mutate(value[key], generator)
        return changed
    if isinstance(value, list) and value and generator.random() < 0.9:
        index = generator.randrange(len(value))
        kinds: tuple[Callable[[], list[Any]], ...] = (
            lambda: value[:index] + value[index + 1 :],
            lambda: [*value, value[index]],
            lambda: [*value[:index], mutate(value[index], generator), *value[index + 1 :]],
        )
        return generator.choices(kinds, weights=(1, 1, 6))[0]()
    return generator.choice(SCALARS)


def test_coco_tables_with_a_wrong_value_anywhere(tmp_path: Path, tally: Tally) -> None:
    path = write_coco(tmp_path) / "annotations" / "instances_val2017.json"
    tables = json.loads(path.read_text())
    for seed in range(CASES):
        generator = random.Random(seed)
        damaged = tables
        for _ in range(generator.randint(1, 4)):
            damaged = mutate(damaged, generator)
        path.write_text(json.dumps(damaged))
        checked("coco", tmp_path, f"seed {seed}")
        tally("fuzz cases, COCO files", 1)


def damaged(whole: bytes, generator: random.Random) -> bytes:
    """The content with up to eight other bytes, half of the time cut off somewhere."""
    content = bytearray(whole)
    for _ in range(generator.randint(1, 8)):
        content[generator.randrange(len(content))] = generator.randrange(256)
    return bytes(content[: generator.choice((len(whole), generator.randrange(len(whole))))])


def test_annotation_files_that_are_no_tables(tmp_path: Path, tally: Tally) -> None:
    path = write_coco(tmp_path) / "annotations" / "instances_val2017.json"
    whole = path.read_bytes()
    for number, text in enumerate(TEXTS):
        path.write_text(text)
        assert any(str(path) in problem for problem in checked("coco", tmp_path, f"text {number}"))
    for seed in range(CASES):
        generator = random.Random(seed)
        path.write_bytes(damaged(whole, generator))
        checked("coco", tmp_path, f"seed {seed}")
        tally("fuzz cases, COCO files", 1)


def test_masks_and_images_with_wrong_bytes(tmp_path: Path, tally: Tally) -> None:
    folder = write_ade(tmp_path)
    files = [*sorted(folder.rglob("*.png")), *sorted(folder.rglob("*.jpg"))]
    for seed in range(CASES):
        generator = random.Random(seed)
        path = generator.choice(files)
        whole = path.read_bytes()
        path.write_bytes(damaged(whole, generator))
        checked("ade20k", tmp_path, f"seed {seed}")
        tally("fuzz cases, ADE20K files", 1)
        path.write_bytes(whole)


def test_folders_with_things_that_are_no_files(tmp_path: Path, tally: Tally) -> None:
    folder = write_ade(tmp_path)
    for seed in range(CASES // 10):
        generator = random.Random(seed)
        path = generator.choice(sorted(folder.rglob("*_0000000?.*")))
        aside = tmp_path / "aside"
        path.rename(aside)
        kind = generator.choice(("missing", "directory", "fifo", "loop", "dangling"))
        if kind == "directory":
            path.mkdir()
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind in ("loop", "dangling"):
            path.symlink_to(path if kind == "loop" else tmp_path / "nowhere")
        problems = checked("ade20k", tmp_path, f"{kind}, seed {seed}")
        assert any(path.stem in problem for problem in problems), (kind, problems)
        if kind == "directory":
            path.rmdir()
        elif kind != "missing":
            path.unlink()
        aside.rename(path)
        tally("fuzz cases, ADE20K files", 1)
