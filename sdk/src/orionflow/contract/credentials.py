"""How credentials begin, so that each is recognised wherever it stands: in a header, an address or an environment."""

from __future__ import annotations

# An API key of a user or a service account.
KEY_BEGINS = "orn_"
# What the code of one attempt of a run speaks by.
RUN_TOKEN_BEGINS = "ort_"
# What programs of a server's owner find in its home.
LOCAL_TOKEN_BEGINS = "orl_"
