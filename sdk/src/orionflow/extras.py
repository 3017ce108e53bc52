"""The requirements of the SDK's optional parts, as an install command that works however the SDK was installed.

`pip install orionflow[dask]` would ask an index for the SDK itself, which may have been installed from a file or clone.
"""

from __future__ import annotations

import re
import shlex
from importlib.metadata import PackageNotFoundError, requires

OF_EXTRA = re.compile(r"""^(?P<wanted>.*?)\s*;\s*extra\s*==\s*['"](?P<extra>[\w-]+)['"]$""")


def install_command(extra: str) -> str:
    """Return the command that installs the requirements of an extra: `pip install 'distributed>=2024.8'`."""
    try:
        found = [match for line in requires("orionflow") or () if (match := OF_EXTRA.match(line))]
    except PackageNotFoundError:
        found = []
    wanted = [shlex.quote(match["wanted"]) for match in found if match["extra"] == extra]
    return f"pip install {' '.join(wanted) or shlex.quote(f'orionflow[{extra}]')}"
