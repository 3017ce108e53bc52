"""Why a websocket is closed: codes of RFC 6455, and two of applications'."""

from __future__ import annotations

NORMAL = 1000
GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
POLICY_VIOLATION = 1008
INTERNAL_ERROR = 1011
TRY_AGAIN_LATER = 1013
# Clients of Prefect's make know this one.
NOT_WHAT_WAS_EXPECTED = 4001
# Before a socket is accepted: the client sees a plain 403.
REFUSED = 4403
