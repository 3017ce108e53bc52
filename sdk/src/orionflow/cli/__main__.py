"""`python -m orionflow.cli` is `orion`, for cases where scripts are not on the path."""

from __future__ import annotations

import sys

from orionflow.cli import main

sys.exit(main())
