"""The engine: everything between the call of a decorated function and its value.

A run is a generator that yields effects (`effects`): ask the rules, send a call, sleep, wait, run the user's code. Two
drivers (`drivers`) perform the effects, one blocking and one awaiting, so there is one engine for sync and async
functions.

To follow a call: `invoke` takes it from the decorated function, `run_calls` holds the call and `inputs` the content of
its arguments, and `submission` passes submitted tasks to task runners. `task_run` and `flow_run` are the lives of the
two kinds of runs, which start in `task_creation` and `flow_creation`. `attempt` and `flow_attempt` call the user's
code, and `final_state` derives the state from its outcome. `verdicts` follows the answers of the rules, `commands`
those of users (cancel, pause), and `waiting_lines` waits for free slots of a limit. `children`, `crashes`, `signals`
and `time_limits` end runs early.
"""

from __future__ import annotations
