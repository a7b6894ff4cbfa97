"""The commands that are struck, what each starts from, and what a runs directory must hold in the end."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pretrain.checkpoint import file_sha256
from results.record import read_record
from results.runs import RunDirectory, RunState
from results.store import read_on_disk

PRETRAINING = """\
name: {name}
data: {{imagenet: {data}}}
pretrain:
  - {{method: moco_v3, backbone: tiny_vit, dataset: imagenet, recipe: digits-contrastive-vit, epochs: 2,
      batch_size: 16, image_size: 16, mlp_dimension: 16, embedding_dimension: 8}}
"""
EVALUATION = """\
evaluate:
  - knn: {recipe: knn-digits}
  - linear: {recipe: linear-digits, epochs: 2, global_batch_size: 16}
"""
COLLECTION = "tables: [digits]\nfigures: [curves]\n"
IMAGES_OF_A_CLASS = {"train": 16, "val": 8}
IMAGE_PIXELS = 16
VOLATILE = frozenset({"timing", "machine", "attempts", "images_per_second", "software", "checksum"})
"""Fields of a record that a second computation does not repeat."""


def write_images(folder: Path) -> Path:
    """A data set of two classes of noise, laid out as ImageNet is."""
    generator = np.random.default_rng(0)
    for split, count in IMAGES_OF_A_CLASS.items():
        for label in ("a", "b"):
            place = folder / split / label
            place.mkdir(parents=True)
            for index in range(count):
                pixels = generator.integers(0, 255, (IMAGE_PIXELS, IMAGE_PIXELS, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{index}.png")
    return folder


@dataclass(frozen=True)
class Scenario:
    """A command, in parts: ``opera-bench <verb> <operand> --runs DIR <options>``, on a copy of ``start``."""

    name: str
    verb: str
    operand: str
    start: Path | None
    options: tuple[str, ...] = ("--executor", "inline", "--yes")
    status: int = 0

    def arguments(self, runs: Path) -> list[str]:
        return [self.verb, self.operand, "--runs", str(runs), *self.options]

    def prepare(self, runs: Path) -> None:
        """Leave ``runs`` as the command finds it."""
        shutil.rmtree(runs, ignore_errors=True)
        if self.start is not None:
            shutil.copytree(self.start, runs)


def contents(runs: Path) -> dict[str, Any]:
    """What must not depend on a fault: each finished run's record but for times, its weights, tables and figures."""
    found: dict[str, Any] = {}
    for run in run_directories(runs):
        if run.record.exists():
            found[run.run_id] = finished_run(run)
    for path in sorted((runs / "report").rglob("*")):
        if path.is_file() and path.suffix in (".md", ".tex", ".csv", ".svg", ".png"):
            found[str(path.relative_to(runs))] = file_sha256(path)
    return found


def finished_run(run: RunDirectory) -> dict[str, Any]:
    """The record of a run that is listed as done, with its weights' hashes as they are on disk."""
    record = json.loads(read_record(run.record).model_dump_json())
    for checkpoint in record["checkpoints"]:
        checkpoint["found"] = file_sha256(run.path / checkpoint["path"])
    return {name: value for name, value in record.items() if name not in VOLATILE}


def run_directories(runs: Path) -> Iterator[RunDirectory]:
    for path in sorted(runs.glob("*")):
        if (path / "config.yaml").exists():
            yield RunDirectory(path)


def listing(runs: Path) -> set[str]:
    """Every path beneath ``runs``; an attempt's own TensorBoard file counts once a run."""
    return {
        str(path.parent.relative_to(runs)) if path.name.startswith("events.out.") else str(path.relative_to(runs))
        for path in runs.rglob("*")
    }


def held_locks(runs: Path) -> list[str]:
    """Lock files that a process still holds."""
    held = []
    for path in runs.rglob("lock"):
        with path.open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(str(path.relative_to(runs)))
    return held


def state_of(run: RunDirectory) -> RunState:
    """Where a run stands by its own directory, as every listing of the suite sees it."""
    return read_on_disk(run, ()).state
