"""Passwords in addresses, which nothing that is kept may have: reports, lineage, MLflow, crash reports."""

from __future__ import annotations

import re

_USER = r"[a-z][a-z0-9+.-]*://[^\s/?#:@]*"
#: What begins with an address is one to its end, whatever is in it; within a text it ends at a blank or a quote.
_PASSWORDS = (
    re.compile(rf"\A((?:--[\w-]+=)?{_USER}):.*@", re.IGNORECASE | re.DOTALL),
    re.compile(rf"(\b{_USER}):[^\s'\"]*@", re.IGNORECASE),
)
_PARAMETER = re.compile(r"(password=)[^\s&'\"]+", re.IGNORECASE)


def masked(text: str) -> str:
    """A text, or a word of a command, without the passwords in it: `postgresql://me:***@db/searches`."""
    for pattern in _PASSWORDS:
        text = pattern.sub(r"\1:***@", text)
    return _PARAMETER.sub(r"\1***", text)
