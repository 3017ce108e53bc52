"""Replay: a run packed into one file, and run again elsewhere with what it recorded.

`capsule` is the file, which is checked before anything in it is believed; `pulling` makes one from what the API
answers, with `code_files`, `stored_results` and `secret_names`. `replay` takes place in a process of its own: `plan`
says what would run, `child` runs it, `recorded` knows which recorded run a call is, and `differences` compares.
"""

from __future__ import annotations
