"""Checks datasets before anything is trained or submitted.

``opera-bench data check`` runs the same check of a dataset. A passed check is stored in the user's cache with a key
that covers the data's files and the checking code. If the key is unchanged, the dataset is not checked again. If the
cache can't be read or written, the check is repeated.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.plan.graph import PlannedRun
from bench.sweep.errors import INPUT_ERRORS, InputError
from pretrain import datasets
from pretrain.datasets import NotPublished, find_dataset, open_any_split
from pretrain.datasets._changes import OnDisk, digest_statuses
from results.runs import write_atomically

_DATASETS = Path(datasets.__file__).parent


def check_data(name: str, root: Path | None) -> list[str]:
    """Check a whole dataset; return one sentence for each fault and each difference from the published dataset.

    Raises
    ------
    InputError
        The dataset is unknown, or its module's check raised an unexpected error.
    """
    return _check(name, root, None if root is None else _key(name, root))


def require_sound_data(
    runs: Sequence[PlannedRun], roots: Mapping[str, str], announce: Callable[[str], None] = lambda _: None
) -> None:
    """Check every dataset that these runs read, unless it passed before and has not changed.

    Parameters
    ----------
    announce
        Called with a line before a check that may take minutes.

    Raises
    ------
    InputError
        A dataset has faults; the message has the first fault and the command that lists all.
    """
    for name in sorted({run.dataset for run in runs if run.dataset is not None}):
        root = Path(roots[name]) if name in roots else None
        key = None
        if root is not None:
            key = _key(name, root)
            if _is_cached(_cache_file(name, root), key):
                continue
            announce(f"checking {name} in {root}; a result without faults is kept until files change")
        if faults := _faults(_check(name, root, key)):
            more = f" ({len(faults) - 1:,} more faults)" if len(faults) > 1 else ""
            raise InputError(f"{faults[0]}{more}; list all: opera-bench data check {name}{f' {root}' if root else ''}")


def _check(name: str, root: Path | None, key: str | None) -> list[str]:
    """Run the check of the dataset's module, return its sentences, and store ``key`` if there are no faults.

    ``key`` must be computed before the check, so that a file that changes during the check invalidates the result.
    """
    try:
        problems = find_dataset(name).check(root)
    except INPUT_ERRORS as error:
        problems = [str(error)]
    except Exception as error:
        raise InputError(f"dataset {name}: its check failed ({type(error).__name__}: {error})") from error
    if root is not None and key is not None and not _faults(problems):
        _cache_key(_cache_file(name, root), key)
    return problems


def _faults(problems: Sequence[str]) -> list[str]:
    return [problem for problem in problems if not isinstance(problem, NotPublished)]


def _key(name: str, root: Path) -> str | None:
    """Return a digest of the dataset's files, its directory and the checking code.

    None, so that the dataset is checked every time, if it comes with a package, can't be opened, or doesn't list its
    files.
    """
    digest = hashlib.sha256(f"{root.absolute()}\n{_code(name)}\n".encode(errors="surrogateescape"))
    info = find_dataset(name).INFO
    if not info.needs_root:
        return None
    try:
        for split in info.sizes:
            images = open_any_split(name, root, split)
            if not isinstance(images, OnDisk):
                return None
            digest.update(digest_statuses(images.files(), root).encode())
    except Exception:  # the check reports why the data can't be opened
        return None
    return digest.hexdigest()


@functools.cache
def _code(name: str) -> str:
    """Return a digest of the checking code: this suite's dataset modules and the dataset's own module."""
    module_file = getattr(find_dataset(name), "__file__", None)
    digest = hashlib.sha256()
    for path in [*sorted(_DATASETS.glob("*.py")), *([] if module_file is None else [Path(module_file)])]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _cache_file(name: str, root: Path) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "opera-bench" / "checked"
    root_digest = hashlib.sha256(os.fsencode(root.absolute())).hexdigest()[:16]
    return cache / f"{name}-{root_digest}.json"


def _is_cached(memory: Path, key: str | None) -> bool:
    try:
        remembered = json.loads(memory.read_text(encoding="utf-8"))
        return key is not None and bool(remembered["sound"] == key)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _cache_key(memory: Path, key: str) -> None:
    with contextlib.suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(memory, json.dumps({"sound": key}) + "\n")
