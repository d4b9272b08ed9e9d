"""Lines of JSON that say what they held and what they follow."""

from __future__ import annotations

import json
import re
from typing import Any

from skada_active.io._plain import from_plain, to_plain
from skada_active.io._storage import digest_of

__all__ = ["seal", "unseal"]

_SEAL = re.compile(rb'(?:, )?"digest": "([0-9a-f]{16})"\}\Z')


def seal(event: dict[str, Any], before: str) -> tuple[bytes, str]:
    """Return an event as a line of JSON, and the digest of it and of all lines before it, which it ends with."""
    # Half of a surrogate pair, all that UTF-8 has no form for, becomes its escape in JSON.
    text = json.dumps(to_plain(event), ensure_ascii=False, allow_nan=False).encode(errors="backslashreplace")
    digest = digest_of(before.encode(), text)
    return text[:-1] + (b", " if event else b"") + b'"digest": "' + digest.encode() + b'"}', digest


def unseal(line: bytes, before: str) -> tuple[dict[str, Any], str] | None:
    """Return the event of a line and its digest, None where the line is not what followed the digest `before`."""
    found = _SEAL.search(line)
    if found is None:
        return None
    text, digest = line[: found.start()] + b"}", found[1].decode()
    if digest != digest_of(before.encode(), text):
        return None
    return from_plain(json.loads(text)), digest
