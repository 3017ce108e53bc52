"""Replay: a run is packed into one file, and run again elsewhere with its recorded results.

`capsule` is the file, which is checked before its content is trusted. `pulling` creates one from answers of the API,
with `code_files`, `stored_results` and `secret_names`. A replay executes in a process of its own: `plan` says what
would run, `child` runs it, `recording` maps each call to a recorded run, and `differences` compares.
"""

from __future__ import annotations
