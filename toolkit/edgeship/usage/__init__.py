"""How a file is used, told by the file itself: labels of its outputs, and what to do to raw values before.

One definition (`values`) for all formats; a module each says where it stands there.
"""

from edgeship.usage.lone import read
from edgeship.usage.values import Usage, usage

__all__ = ["Usage", "read", "usage"]
