"""The wiring of the server: settings, URLs, and entry points for the wheel, the command line and in-process use."""

from __future__ import annotations

import sys
from pathlib import Path

__version__ = "0.1.0"

# In a wheel the apps are below `_apps`, so that general names such as `runs` are not added to site-packages.
_APPS = Path(__file__).parent / "_apps"
if _APPS.is_dir() and str(_APPS) not in sys.path:
    sys.path.insert(0, str(_APPS))
