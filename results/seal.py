"""Text that carries its own checksum: a change of any byte of it is noticed.

A sealed text is one JSON object whose last line is ``"sha256": "<64 hex>"}``. The checksum is that of every byte before
this line, so what is verified is the text itself and nothing has to be parsed first.
"""

from __future__ import annotations

import hashlib
import re

_SEAL = re.compile(rb',\n"sha256": "([0-9a-f]{64})"}\n\Z')
_SEAL_BYTES = len(',\n"sha256": ""}\n') + 64


def seal(text: str) -> str:
    """``text``, which is a JSON object with at least one key, with its checksum as last key."""
    body = text.rstrip().removesuffix("}").rstrip()
    return f'{body},\n"sha256": "{hashlib.sha256(body.encode()).hexdigest()}"}}\n'


def unseal(sealed: bytes) -> bytes | None:
    """The text that was sealed, or None where it is no sealed text or any byte of it has changed."""
    found = _SEAL.match(sealed, max(len(sealed) - _SEAL_BYTES, 0))
    if found is None:
        return None
    body = sealed[: found.start()]
    if hashlib.sha256(body).hexdigest().encode() != found[1]:
        return None
    return body + b"}"
