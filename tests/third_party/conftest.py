"""A stranger's distribution, ``shapes_ssl`` beside this file, installed into a directory of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).parent / "shapes_ssl"
PIP = ("install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")

SWEEP = """\
name: strangers
pretrain:
  - method: shapes_simsiam
    backbone: tiny_vit
    dataset: digits
    recipe: shapes-contrastive
    epochs: 1
    image_size: 8
    global_batch_size: 512
evaluate:
  - knn_sweep: {ks: [1, 5]}
"""
SHIPPED = """\
name: shipped
pretrain:
  - {method: random_init, backbone: tiny_vit, dataset: digits}
evaluate: [knn]
"""


@dataclass(frozen=True)
class Site:
    """A directory of installed distributions, and commands that see them."""

    path: Path
    work: Path

    def __call__(self, *command: str, sweep: str = SWEEP) -> subprocess.CompletedProcess[str]:
        """``opera-bench`` on a sweep; ``SWEEP`` in the command stands for its file."""
        file = self.work / "sweep.yaml"
        file.write_text(sweep, encoding="utf-8")
        arguments = [str(file) if word == "SWEEP" else word for word in command]
        return self.python("from bench.cli import main; main()", *arguments)

    def python(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env={**os.environ, "PYTHONPATH": f"{self.path}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"},
            cwd=self.work,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )

    def planned(self, sweep: str = SWEEP) -> list[str]:
        """The ids of the runs that a sweep plans."""
        done = self("plan", "SWEEP", "--format", "json", sweep=sweep)
        assert done.returncode == 0, done.stderr
        runs: list[dict[str, Any]] = json.loads(done.stdout)["jobs"]
        return [run["run_id"] for run in runs]

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.path / "shapes_ssl" / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def add_entry_point(self, group: str, line: str) -> None:
        (path,) = self.path.glob("shapes_ssl-*.dist-info/entry_points.txt")
        heading = f"[opera_bench.{group}]\n"
        text = path.read_text(encoding="utf-8")
        new = text.replace(heading, f"{heading}{line}\n") if heading in text else f"{text}\n{heading}{line}\n"
        path.write_text(new, encoding="utf-8")


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution as pip lays it out. The source is copied first: a build writes beside it."""
    work = tmp_path_factory.mktemp("shapes_ssl")
    shutil.copytree(SOURCE, work / "source")
    pip = [sys.executable, "-m", "pip", *PIP, "--target", str(work / "site"), str(work / "source")]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return work / "site"


@pytest.fixture
def site(installed: Path, tmp_path: Path) -> Site:
    """A copy of the installation that a test may change."""
    shutil.copytree(installed, tmp_path / "site", ignore=shutil.ignore_patterns("__pycache__"))
    return Site(tmp_path / "site", tmp_path)


@pytest.fixture
def bare(tmp_path: Path) -> Callable[..., Path]:
    """Lays a second distribution into a directory of installed ones."""

    def lay(site: Path, name: str, version: str, entry_points: str, **modules: str) -> Path:
        info = site / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(entry_points)
        for module, text in modules.items():
            (site / f"{module}.py").write_text(text)
        return site

    return lay
