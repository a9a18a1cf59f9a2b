"""How the files of a repository are served: what is sent with each of them."""

from __future__ import annotations

from edgeship.publish.stores import TIMESTAMP

#: The one file that changes, and all others.
FRESH, FOREVER = "public, max-age=60", "public, max-age=31536000, immutable"
#: A root that is not there may be there soon.
NOT_FOUND = "no-store"


def headers(path: str) -> dict[str, str]:
    """`Cache-Control` and `Content-Type` of a file of a repository."""
    return {
        "Cache-Control": FRESH if path == TIMESTAMP else FOREVER,
        "Content-Type": "application/json" if path.endswith(".json") else "application/octet-stream",
    }
