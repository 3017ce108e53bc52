"""Dispatch gives runs to agents, and ends the attempts of agents that have stopped (docs/explanation/dispatch.md).

`agents` register, `claims` give them runs, `heartbeats` renew leases, `hints` wake agents. `attempt_exit` settles an
attempt that did not report its own end; `reconciler` does so when a lease expires, `dead_processes` without a lease.
"""
