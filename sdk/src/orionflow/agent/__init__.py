"""The agent: takes runs of deployed flows from work queues and executes each in a process of its own.

`supervisor` puts the parts together. It speaks to the API (`claims`, `heartbeats`, `endings`), hears of due runs from a
broker (`hints`), and has processes started by a launcher (`launching`, `zygote`, `guard`); in each of them `child`
executes one run.
"""
