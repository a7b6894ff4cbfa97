"""Appends a checksum to JSON text, and verifies it.

A sealed text is one JSON object whose last line is ``"sha256": "<64 hex>"}``. The checksum covers all bytes before
the comma that precedes this line, so it can be verified without parsing the text.
"""

from __future__ import annotations

import hashlib
import re

_SEAL = re.compile(rb',\n"sha256": "([0-9a-f]{64})"}\n\Z')
_SEAL_BYTES = len(',\n"sha256": ""}\n') + 64


def seal(text: str) -> str:
    """Return ``text`` with its checksum as last key; ``text`` is a JSON object with at least one key."""
    body = text.rstrip().removesuffix("}").rstrip()
    return f'{body},\n"sha256": "{hashlib.sha256(body.encode()).hexdigest()}"}}\n'


def unseal(sealed: bytes) -> bytes | None:
    """Return the text that was sealed; None if ``sealed`` isn't a sealed text or one of its bytes has changed."""
    found = _SEAL.match(sealed, max(len(sealed) - _SEAL_BYTES, 0))
    if found is None:
        return None
    body = sealed[: found.start()]
    if hashlib.sha256(body).hexdigest().encode() != found[1]:
        return None
    return body + b"}"
