"""The lease: the command that holds a folder on a board for as long as its standard input is open.

Removing what it made is the board's own work, because nobody here may be left to do it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from edgeship.errors import TargetUnavailable

#: The first line that it prints, the last one, and the most that may lie between them.
FIRST, LAST = b"edgeship-lease", b"ready"
MOST_BYTES = 1 << 16

# Its name is how a later lease knows that this one lives.
SCRIPT = """export LC_ALL=C; umask 077; root=${TMPDIR:-/tmp}
for old in "$root"/edgeship-run.*; do
  [ -d "$old" ] && [ ! -L "$old" ] && [ -O "$old" ] || continue
  owner=${old##*/edgeship-run.}; owner=${owner%%.*}
  case $owner in ""|*[!0-9]*) continue;; esac
  grep -q edgeship-lease "/proc/$owner/cmdline" 2>/dev/null || rm -rf "$old"
done
folder=$(mktemp -d "$root/edgeship-run.$$.XXXXXX") || exit 1
end() {
  trap "" HUP INT TERM PIPE
  for file in "$folder"/pid.*; do [ -f "$file" ] && kill -9 "${file##*.}" 2>/dev/null; done
  rm -rf "$folder"
}
trap end EXIT
trap "exit 1" HUP INT TERM PIPE
python=$(command -v python3)
echo edgeship-lease
echo "folder=$folder"
echo "cache=${XDG_CACHE_HOME:-$HOME/.cache}/edgeship"
echo "machine=$(uname -m)"
echo "python=$python"
[ -n "$python" ] && "$python" -c "
import platform, struct, sys
print(f'version={sys.version_info[0]}.{sys.version_info[1]}')
print(f'bits={8 * struct.calcsize(\\"P\\")}')
print('libc=' + ' '.join(platform.libc_ver()).strip())
"
echo ready
cat >/dev/null"""


@dataclass(frozen=True)
class Board:
    """What the lease says of a board.

    Attributes:
        folder: of this connection; goes with it.
        cache: of edgeship, in the user's home; stays.
        machine: architecture of the kernel.
        python: path of the interpreter; empty where there is none.
        version: of Python, `3.11`.
        bits: of the interpreter: a 32-bit system may run on a 64-bit kernel.
        libc: `glibc 2.36`.
    """

    folder: str
    cache: str
    machine: str
    python: str = ""
    version: str = ""
    bits: str = ""
    libc: str = ""


_PATH = r"/[^\0]{1,1000}"
#: What every lease says, and what it says where the board has a Python that works; in what form.
_KNOWN = {"folder": _PATH, "cache": _PATH, "machine": r"[A-Za-z0-9_]{1,40}"}
_OF_PYTHON = {"python": _PATH, "version": r"\d{1,2}\.\d{1,3}", "bits": r"\d{2,3}", "libc": r"[\w. -]{1,40}"}


def read(found: Mapping[str, str], board: str) -> Board:
    """What the lease said, checked. Raises TargetUnavailable for what no lease says."""
    for key, form in _KNOWN.items():
        if not re.fullmatch(form, found.get(key, "")):
            raise TargetUnavailable(
                f"{board} gave {found.get(key, '')[:100]!r} for its {key}",
                remedy="Is it a Linux board with sh and mktemp?",
            )
    fit = {key: found[key] for key, form in _OF_PYTHON.items() if re.fullmatch(form, found.get(key, ""))}
    return Board(**{key: found[key] for key in _KNOWN}, **fit)
