"""Prefixes of credentials, by which each kind is recognised in a header, an address or an environment variable."""

from __future__ import annotations

from datetime import timedelta

# An API key of a user or a service account.
KEY_BEGINS = "orn_"
# The token with which the code of one attempt of a run authenticates.
RUN_TOKEN_BEGINS = "ort_"
# How long it stays valid after the attempt ended, for its hooks and its last log lines.
LAST_LINES = timedelta(seconds=60)
# The token that programs of the server's owner find in the home.
LOCAL_TOKEN_BEGINS = "orl_"
