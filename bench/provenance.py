"""Where a number came from: code, packages, machine, data."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import resource
import socket
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from evaluators.dense.library import versions as openmmlab_versions
from pretrain.checkpoint import file_sha256
from pretrain.datasets import find_dataset, open_any_split
from results.record import DatasetReference, Machine, Software

PACKAGES = ("opera-bench", "torch", "timm", "torchvision", "torchmetrics", "numpy")


@functools.cache
def software() -> Software:
    """Package versions, and the commit of the source checkout when this runs from one."""
    packages = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "not installed"
    packages |= openmmlab_versions()
    checkout = Path(__file__).resolve().parent.parent
    commit = _git(checkout, "rev-parse", "HEAD") if (checkout / ".git").exists() else None
    if commit is None:
        return Software(git_commit=None, git_dirty=None, packages=packages)
    changes = _git(checkout, "status", "--porcelain", "--untracked-files=no")
    return Software(git_commit=commit, git_dirty=None if changes is None else bool(changes), packages=packages)


def machine(device: str, world_size: int) -> Machine:
    """The machine as it is at the end of a run, when its peak memory is known."""
    return Machine(
        host=socket.gethostname(),
        device=device_name(device),
        world_size=world_size,
        peak_memory_bytes=_peak_memory_bytes(device),
        scheduler_job_id=scheduler_job_id(),
    )


def scheduler_job_id() -> str | None:
    return os.environ.get("SLURM_JOB_ID")


def device_name(device: str) -> str:
    """The GPU's or the processor's own name."""
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
    """Sizes and one fingerprint over all splits, so that runs on the same data say the same.

    Raises
    ------
    InputError
        The data is not there or not what its layout says.
    """
    info = find_dataset(name).INFO
    splits = {split: open_any_split(name, root, split) for split in sorted(info.sizes)}
    content = "".join(f"{split}:{images.fingerprint()}\n" for split, images in splits.items())
    return DatasetReference(
        name=name,
        version=info.version,
        sizes={split: len(images) for split, images in splits.items()},
        fingerprint=hashlib.sha256(content.encode()).hexdigest(),
    )


def artifact_hashes(directory: Path) -> dict[str, str]:
    """File name → SHA-256 of what an evaluation left; empty where it left nothing."""
    if not directory.is_dir():
        return {}
    return {path.name: file_sha256(path) for path in sorted(directory.iterdir()) if path.is_file()}


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
