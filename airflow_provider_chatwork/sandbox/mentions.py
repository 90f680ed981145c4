"""Whom a message calls."""

from __future__ import annotations

import re

_CALLS = re.compile(r"\[(?:(toall)|To:([0-9]+)|rp aid=([0-9]+)[^\]]*)\]", re.IGNORECASE)


def mentions(body: str, account_id: int) -> bool:
    """Return whether a body calls an account: by ``[To:id]``, by a reply, or by ``[toall]``."""
    return any(everybody or account_id == int(to or replied) for everybody, to, replied in _CALLS.findall(body))
