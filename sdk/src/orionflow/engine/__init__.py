"""The engine: what happens between the call of a decorated function and its value.

A run is a generator that yields effects (`effects`): ask the rules, send a call, sleep, wait, run the user's code. Two
drivers (`drivers`) perform them, one blocking and one awaiting, so there is one engine for sync and async functions.

`calls` says what was called, `inputs` what its arguments hold; `task_run` and `flow_run` are the two lives, `attempt`
and `flow_attempt` the user's code, `final_state` what that amounts to; `rules` takes the API's answers, `orders` what
others want of a run; `crashes` and `time_limits` end runs early; `submission` brings tasks to runners.
"""

from __future__ import annotations
