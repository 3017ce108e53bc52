"""The engine: what happens between the call of a decorated function and its value.

A run is a generator that yields effects (`effects`): ask the rules, send a call, sleep, wait, run the user's code. Two
drivers (`drivers`) perform them, one blocking and one awaiting, so there is one engine for sync and async functions.

Follow a call: `invoke` takes it from the decorated function; `run_calls` holds what was called and `inputs` what its
arguments hold; `submission` brings submitted tasks to task runners. `task_run` and `flow_run` are the two lives, which
begin in `task_creation` and `flow_creation`; `attempt` and `flow_attempt` call the user's code, and `final_state` says
what that amounts to. `verdicts` follows the answers of the rules, `commands` those of people (cancel, pause), and
`waiting_lines` waits for room under a limit. `children`, `crashes`, `signals` and `time_limits` end runs early.
"""

from __future__ import annotations
