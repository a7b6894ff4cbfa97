"""Copies the code at submission, so that jobs run it even if the checkout changes later."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

SNAPSHOTS = "code"
"""Name of the folder of snapshots, beside the ledger."""
_IGNORED_FOLDERS = {"__pycache__"}
_COPYING = ".copying-"
"""Prefix of the name of an unfinished copy."""


def take_snapshot(packages: Sequence[str], extra: dict[str, str], below: Path) -> Path:
    """Copy packages to ``below/<hash of their content>``, unless this copy exists; return its path.

    Parameters
    ----------
    packages
        Names of importable top-level packages.
    Further files of the snapshot: name to text.
        Further files of the snapshot, text by name.

    Returns
    -------
    The directory to put on ``PYTHONPATH``.
    """
    sources = {f"{name}/{path.relative_to(home)}": path for name, home in _homes(packages) for path in _files(home)}
    digest = hashlib.sha256()
    for name in sorted(sources):
        digest.update(f"{name}\0{hashlib.sha256(sources[name].read_bytes()).hexdigest()}\n".encode())
    for name in sorted(extra):
        digest.update(f"{name}\0{extra[name]}\n".encode())
    for left in below.glob(f"{_COPYING}*"):  # left by a killed command: the caller holds the ledger's lock
        shutil.rmtree(left, ignore_errors=True)
    final = below / digest.hexdigest()[:16]
    if final.is_dir():
        return final
    below.mkdir(parents=True, exist_ok=True)
    copying = Path(tempfile.mkdtemp(prefix=_COPYING, dir=below))
    try:
        for name, path in sources.items():
            target = copying / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copy2(path, target)
            except OSError as error:  # the error names the source file; raise it with the target instead
                raise OSError(error.errno, error.strerror, str(target)) from error
        for name, text in extra.items():
            (copying / name).write_text(text, encoding="utf-8")
        copying.chmod(0o755)
        try:
            copying.rename(final)
        except OSError:
            if not final.is_dir():  # another command was faster with the same content
                raise
    finally:
        shutil.rmtree(copying, ignore_errors=True)
    return final


def _homes(packages: Sequence[str]) -> list[tuple[str, Path]]:
    homes = []
    for name in packages:
        spec = importlib.util.find_spec(name)
        assert spec is not None, f"{name} is one of the packages that are running"
        assert spec.origin is not None, f"{name} is a package with files"
        homes.append((name, Path(spec.origin).parent))
    return homes


def _files(home: Path) -> list[Path]:
    found = []
    for folder, folders, names in os.walk(home):
        folders[:] = [name for name in folders if name not in _IGNORED_FOLDERS]
        # Skip dangling links, such as an editor's lock file.
        found += [path for name in names if (path := Path(folder) / name).is_file()]
    return found
