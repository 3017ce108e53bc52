"""The agent: claims runs of deployed flows from work queues and executes each in a process of its own.

`supervisor` connects the parts. It talks to the API (`agent_client`, `claiming`, `heartbeats`, `exit_reports`), is
notified of due runs by a broker (`hints`), and lets a launcher start processes (`launching`, `zygote`, `guard`) and end
them (`stopping`). In each process `child` executes one run; `active_runs` tracks it until the API knows its end.
"""
