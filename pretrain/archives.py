"""Checks zip archives written by ``torch.save`` before torch reads them."""

from __future__ import annotations

import zipfile
from pathlib import Path

MEMBERS = 20_000
"""Most members; a training checkpoint of ViT-L with AdamW has 1,000. Each takes memory before it is read."""
_DIRECTORY_ENTRY = b"PK\x01\x02"
_CHUNK_BYTES = 1 << 24


def archive_fault(path: Path) -> str | None:
    """Return what is wrong with a file's zip archive; None if nothing is, or if the file is not a zip archive."""
    try:
        if not zipfile.is_zipfile(path):
            return None
        # zipfile creates one object per entry of the directory, as many as the file states.
        if _count_entries(path) > MEMBERS:
            return f"refused, its zip archive has more than {MEMBERS:,} members"
        with zipfile.ZipFile(path) as archive:
            if fault := _foreign_trait(archive, path.stat().st_size):
                return f"refused, its zip archive {fault}, and torch.save writes none like that"
            damaged = archive.testzip()
    except Exception as error:  # on damaged input zipfile raises many types of errors
        return f"truncated or altered, its zip archive is broken ({error})"
    return None if damaged is None else f"altered, {damaged} in it differs from its checksum"


def _foreign_trait(archive: zipfile.ZipFile, file_bytes: int) -> str | None:
    """Return a trait that ``torch.save`` never writes and that could exhaust memory or mislead a reader; else None."""
    members = archive.infolist()
    if packed := next((member for member in members if member.compress_type != zipfile.ZIP_STORED), None):
        return f"is compressed ({packed.filename})"
    if sum(member.file_size for member in members) > file_bytes:
        return "says that its members are larger than the file"
    if any(member.file_size != member.compress_size for member in members):
        return "says two sizes of one member"
    if len({member.filename for member in members}) != len(members):
        return "has two members of one name"
    if archive.comment or min((member.header_offset for member in members), default=0) != 0:
        return "has bytes before or behind it"
    return None


def _count_entries(path: Path) -> int:
    """Count the entries of the zip directory; slightly too many if weights contain an entry's signature by chance."""
    count = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            count += chunk.count(_DIRECTORY_ENTRY)
    return count
