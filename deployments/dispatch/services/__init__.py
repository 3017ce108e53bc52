"""Dispatch gives runs to agents, and ends the attempts of agents that are gone: docs/explanation/dispatch.md as code.

`agents` register, `claims` give them runs, `heartbeats` renew leases, `hints` wake agents. `attempt_exit` settles an
attempt that did not end by itself, `reconciler` does so when a lease expires, `dead_processes` where there is no lease.
"""
