"""Collects a record's provenance: code version, packages, machine, data."""

from __future__ import annotations

import contextlib
import functools
import json
import platform
import resource
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

from evaluators.dense.library import versions as openmmlab_versions
from evaluators.interface import PER_CLASS_FILE
from pretrain.checkpoint import file_sha256
from pretrain.datasets import DatasetInfo, dataset_info, open_any_split
from pretrain.datasets.interface import joint_fingerprint
from results.record import NOT_SEEN, DatasetReference, Machine, Software
from slurm.job import job_host, job_number

CODE_VERSION_FILE = "code-version.json"
PACKAGES = ("opera-bench", "torch", "timm", "torchvision", "torchmetrics", "numpy")


@functools.cache
def software() -> Software:
    """Package versions, and the commit of the code if known."""
    packages = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "not installed"
    packages |= openmmlab_versions()
    commit, dirty = code_version()
    return Software(git_commit=commit, git_dirty=dirty, packages=packages)


def code_version() -> tuple[str | None, bool | None]:
    """Return the commit of this code, and whether the code has uncommitted changes; None if unknown.

    A code snapshot has the answer in ``CODE_VERSION_FILE``, written by the checkout it was copied from.
    """
    home = Path(__file__).resolve().parents[2]
    with contextlib.suppress(OSError, ValueError, KeyError):
        noted = json.loads((home / CODE_VERSION_FILE).read_text(encoding="utf-8"))
        return noted["git_commit"], noted["git_dirty"]
    commit = _git(home, "rev-parse", "HEAD") if (home / ".git").exists() else None
    if commit is None:
        return None, None
    changes = _git(home, "status", "--porcelain", "--untracked-files=no")
    return commit, None if changes is None else bool(changes)


def machine(device: str, world_size: int) -> Machine:
    """Return facts about the machine; call this at the end of a run, when the peak memory is known."""
    return Machine(
        host=job_host(),
        device=device_name(device),
        device_kind="cuda" if device.startswith("cuda") else "cpu",
        world_size=world_size,
        peak_memory_bytes=_peak_memory_bytes(device),
        scheduler_job_id=job_number(),
    )


def device_name(device: str) -> str:
    """Return the name of a GPU or of this machine's processor."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def dataset_reference(name: str, root: Path | None) -> DatasetReference:
    """Return a dataset's version, split sizes and fingerprint over all splits, which is equal for equal data.

    Raises
    ------
    InputError
        The data is missing or doesn't have the expected layout.
    """
    info = dataset_info(name, root)
    splits = {split: open_any_split(name, root, split) for split in sorted(info.sizes)}
    sizes = {split: len(images) for split, images in splits.items()}
    return DatasetReference(
        name=name,
        version=info.version,
        sizes=sizes,
        fingerprint=joint_fingerprint(splits),
        differs=difference_from_published(info, sizes),
    )


def difference_from_published(info: DatasetInfo, sizes: Mapping[str, int]) -> str | None:
    """Return a sentence that lists the splits whose sizes differ from the published dataset's; None if none differs."""
    differing = [
        f"{split} has {size:,} images and not {info.sizes[split]:,}"
        for split, size in sizes.items()
        if size != info.sizes[split]
    ]
    return f"{info.name} is not the published set here: {', '.join(differing)}" if differing else None


def imported_reference(declared: Mapping[str, Any]) -> DatasetReference:
    """Return the declared pretraining dataset of an imported checkpoint, whose data can't be fingerprinted."""
    return DatasetReference(
        name=declared["dataset"], version=declared["dataset_version"], sizes={}, fingerprint=NOT_SEEN
    )


def artifact_hashes(directory: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of an evaluation's artifacts directory; empty if it doesn't exist."""
    if not directory.is_dir():
        return {}
    return {path.name: file_sha256(path) for path in sorted(directory.iterdir()) if path.is_file()}


def per_class_values(directory: Path) -> dict[str, dict[str, float | None]] | None:
    """Return class → metric → value, from an evaluation's per-class file; None without one."""
    try:
        text = (directory / PER_CLASS_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return cast("dict[str, dict[str, float | None]]", json.loads(text))


def _peak_memory_bytes(device: str) -> int:
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kibibytes * (1 if platform.system() == "Darwin" else 1024)


def _git(checkout: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), *arguments], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
