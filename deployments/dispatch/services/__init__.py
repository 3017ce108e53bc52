"""Giving runs to agents and taking them back: docs/dispatch.md as code.

`agents` come and leave, `claims` give them runs, `heartbeats` keep what they hold, `endings` settle what became of an
attempt that did not end by itself, and `reconciler` does so for agents that are gone.
"""
