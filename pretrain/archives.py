"""Zip archives that ``torch.save`` wrote: what in them can be wrong, and their members, before torch reads them."""

from __future__ import annotations

import zipfile
from pathlib import Path

MEMBERS = 20_000
"""A training checkpoint of ViT-L with AdamW has 1,000 members; each takes memory before anything of it is read."""
_DIRECTORY_ENTRY = b"PK\x01\x02"
_CHUNK_BYTES = 1 << 24


def archive_fault(path: Path) -> str | None:
    """What is wrong with a file's zip archive, if anything; a file that is no archive has no checksums to differ."""
    try:
        if not zipfile.is_zipfile(path):
            return None
        # zipfile makes an object of each entry of the directory, as many as the file says.
        if _count_entries(path) > MEMBERS:
            return f"refused, its zip archive has more than {MEMBERS:,} members"
        with zipfile.ZipFile(path) as archive:
            if fault := _foreign_trait(archive, path.stat().st_size):
                return f"refused, its zip archive {fault}, and torch.save writes none like that"
            damaged = archive.testzip()
    except Exception as error:  # on damaged input zipfile raises whatever it runs into
        return f"truncated or altered, its zip archive is broken ({error})"
    return None if damaged is None else f"altered, {damaged} in it differs from its checksum"


def _foreign_trait(archive: zipfile.ZipFile, file_bytes: int) -> str | None:
    """What ``torch.save`` never writes, and by which a small archive can ask for much or show two readers two files."""
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
    """Entries of the zip directory, or a few more, where these bytes stand in the weights by chance."""
    count = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            count += chunk.count(_DIRECTORY_ENTRY)
    return count
