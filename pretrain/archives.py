"""The checksums of files that ``torch.save`` wrote, which ``torch.load`` does not look at."""

from __future__ import annotations

import zipfile
from pathlib import Path


def archive_fault(path: Path) -> str | None:
    """What is wrong with a file's zip archive, if anything; a file that is no archive has no checksums to differ."""
    if not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # on damaged input zipfile raises whatever it runs into
        return f"truncated or altered, its zip archive is broken ({error})"
    return None if damaged is None else f"altered, {damaged} in it differs from its checksum"
