"""The agent: takes runs of deployed flows from work queues and executes each in a process of its own.

`supervisor` puts the parts together. It talks to the API (`agent_client`, `claiming`, `heartbeats`, `exit_reports`),
is woken for due runs by a broker (`hints`), and has processes started by a launcher (`launching`, `zygote`, `guard`)
and ended (`stopping`). In each of them `child` executes one run; `active_runs` keeps track of it until the API knows
its end.
"""
