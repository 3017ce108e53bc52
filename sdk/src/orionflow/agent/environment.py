"""The environment that users' code gets: the agent's own, without the secrets of the server or the broker beside it.

Whoever starts an agent may have the keys of the server in the same environment, as `orion server start` has. Code of a
deployment needs none of them, and would hand them to whatever it imports.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from orionflow.settings import PREFIX, environment_name, settings_table

# The broker belongs to agents and task workers: whoever reaches it can send them work.
WITHHELD = frozenset({"broker_url"})


def environment_of_runs(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what a run may see: everything that is not Orion's, and the settings of the SDK without those withheld."""
    given = os.environ if environment is None else environment
    allowed = {environment_name(one.name) for one in settings_table() if one.name not in WITHHELD}
    return {name: value for name, value in given.items() if not name.startswith(PREFIX) or name in allowed}


def withhold_from_this_process() -> None:
    """Remove from this process what its code may not see."""
    for name in set(os.environ) - set(environment_of_runs()):
        del os.environ[name]
