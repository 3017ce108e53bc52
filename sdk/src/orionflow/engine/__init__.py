"""The engine: what happens between the call of a decorated function and its value.

A run is a generator that yields effects (`effects`): ask the rules, send a call, sleep, wait, run the user's code. Two
drivers (`drivers`) perform them, one blocking and one awaiting, so there is one engine for sync and async functions.

`calls` says what was called, `inputs` what its arguments hold, `task_run` and `flow_run` are the two lives, `attempt` the
user's code, `final_state` what it amounts to, `rules` how to take the API's answers, `orders` what others want of the run,
`crashes` and `time_limits` how it may end early, `submission` how tasks get to runners.
"""

from __future__ import annotations
