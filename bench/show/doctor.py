"""Runs the checks of ``opera-bench doctor``."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.launch.options import available_cpus
from bench.plan.distributions import refusals
from bench.sweep.source import VARIABLE
from bench.worker.provenance import PACKAGES, device_name
from evaluators.dense import library
from evaluators.parts.availability import ask_availability
from pretrain.datasets.lookup import describe_datasets, find_dataset
from slurm.lookup import usable_executors

OUR_PACKAGES = ("bench", "pretrain", "evaluators", "results", "slurm")


@dataclass(frozen=True)
class Finding:
    """The result of one check; ``well`` is None if the finding is neither right nor wrong."""

    subject: str
    well: bool | None
    detail: str


def diagnose(runs: Path, data: Mapping[str, str]) -> list[Finding]:
    """Findings about versions, packages, plugins, devices, the runs directory, datasets and executors."""
    found = [*_versions(), *_openmmlab(), *_packages(), *_plugins(), *_devices()]
    return [*found, _write_access(runs), *_data(data), *_executors()]


def _versions() -> Iterator[Finding]:
    yield Finding("python", True, platform.python_version())
    for name in PACKAGES:
        try:
            yield Finding(name, True, version(name))
        except PackageNotFoundError:
            yield Finding(name, False, "not installed")


def _openmmlab() -> Iterator[Finding]:
    """OpenMMLab versions, whether mmcv's operators are compiled, and whether mmseg and mmdet can be imported."""
    for module in library.MODULES:
        found = library.distribution(module)
        yield Finding(module, None if found is None else True, "not installed" if found is None else " ".join(found))
    if (compiled := library.has_compiled_operators()) is not None:
        detail = "compiled" if compiled else "not compiled; NMS and RoIAlign come from torchvision"
        yield Finding("mmcv operators", True, detail)
    for evaluator, name in (("segmentation", "mmseg"), ("detection", "mmdet")):
        if library.distribution(name) is not None:
            answer = ask_availability(evaluator)
            yield Finding(f"import of {name}", answer.can_run, answer.reason or "works")


def _packages() -> Iterator[Finding]:
    """Whether our packages are shadowed by another distribution, or by a folder in the working directory."""
    home = Path(__file__).resolve().parents[2]
    for name in OUR_PACKAGES:
        spec = importlib.util.find_spec(name)
        place = Path(spec.origin).resolve().parent if spec and spec.origin else None
        ours = place == home / name
        yield Finding(f"package {name}", ours, str(place) if ours else f"shadowed by {place}; ours is {home / name}")


def _plugins() -> Iterator[Finding]:
    """Plugins of other distributions that can't be used."""
    for sentence in refusals():
        yield Finding("plugin", False, sentence)


def _devices() -> Iterator[Finding]:
    yield Finding("processor", True, f"{available_cpus()} × {device_name('cpu')}")
    try:
        import torch
    except ImportError as error:
        yield Finding("torch", False, f"can't be imported ({error})")
        return
    if not torch.cuda.is_available():
        yield Finding("cuda", None, "no GPU; runs use the processor")
    for index in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(index).total_memory / 2**30
        yield Finding(f"cuda:{index}", True, f"{torch.cuda.get_device_name(index)}, {memory:.0f} GiB")


def _write_access(runs: Path) -> Finding:
    there = runs.absolute()
    while not there.exists():
        there = there.parent
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        return Finding("runs", False, f"{runs} can't be written to")
    free = shutil.disk_usage(there).free / 2**30
    return Finding("runs", True, f"{runs} can be written to, {free:.0f} GiB free")


def _data(data: Mapping[str, str]) -> Iterator[Finding]:
    for info in describe_datasets():
        text = data.get(info.name)
        if text is None:
            well = None if info.needs_root else not find_dataset(info.name).check(None)
            detail = "no directory given" if info.needs_root else "comes with a package"
            yield Finding(f"dataset {info.name}", well, detail)
        elif unset := VARIABLE.search(text):
            yield Finding(f"dataset {info.name}", False, f"environment variable {unset[1]} is not set")
        else:
            found = Path(text).expanduser().is_dir()
            yield Finding(f"dataset {info.name}", found, text if found else f"{text} is not a directory")


def _executors() -> Iterator[Finding]:
    for name, executor in usable_executors():
        try:
            lines = executor.diagnose()
        except Exception as error:  # code of another distribution may raise anything
            lines = ((f"executor {name}", False, f"its check failed ({type(error).__name__}: {error})"),)
        yield from (Finding(*line) for line in lines)
