"""I4, I6 and I8: attempts follow one another, each starts once, and the agent that executes one holds its lease."""

from __future__ import annotations

from datetime import timedelta

from deployments.upkeep.selectors.invariants.laws import Law, sql_of
from orionflow.contract.states import HOLDING, TERMINAL, StateType

_STARTING = sql_of(HOLDING - {StateType.CANCELLING})
# Three missed ticks of the reconciler after the longest lease that is reasonable.
_DETECTION = timedelta(minutes=1)
_CLEAN_UP = timedelta(minutes=2)

# The state of a claim has the agent as its author. %% stands for %: statements are executed with parameters, even none.
ATTEMPTS = (
    Law(
        "I4",
        "flow-run",
        "SELECT r.id, s.seq, s.epoch, r.epoch FROM runs_flowrun r JOIN runs_flowrunstate s ON s.flow_run_id = r.id "
        "WHERE s.epoch > r.epoch",
        "has state #{} of attempt {}, but is only at attempt {}",
    ),
    Law(
        "I4",
        "task-run",
        "SELECT t.id, s.seq, s.epoch, r.epoch FROM runs_taskrun t JOIN runs_taskrunstate s ON s.task_run_id = t.id "
        "JOIN runs_flowrun r ON r.id = t.flow_run_id WHERE s.epoch > r.epoch",
        "has state #{} of attempt {}, but its flow run is only at attempt {}",
    ),
    Law(
        "I4",
        "flow-run",
        "SELECT b.flow_run_id, b.seq, b.epoch, a.epoch FROM runs_flowrunstate a "
        "JOIN runs_flowrunstate b ON b.flow_run_id = a.flow_run_id AND b.seq = a.seq + 1 WHERE b.epoch < a.epoch",
        "accepted state #{} of attempt {} when it was at attempt {}",
    ),
    Law(
        "I4",
        "task-run",
        "SELECT b.task_run_id, b.seq, b.epoch, a.epoch FROM runs_taskrunstate a "
        "JOIN runs_taskrunstate b ON b.task_run_id = a.task_run_id AND b.seq = a.seq + 1 WHERE b.epoch < a.epoch",
        "accepted state #{} of attempt {} when it was at attempt {}",
    ),
    Law(
        "I4",
        "task-run",
        "SELECT t.id, s.epoch, r.epoch FROM deployments_slot s JOIN runs_taskrun t ON t.id = s.task_run_id "
        "JOIN runs_flowrun r ON r.id = t.flow_run_id WHERE s.epoch > r.epoch",
        "holds a slot for attempt {}, but its flow run is only at attempt {}",
    ),
    Law(
        "I4",
        "flow-run",
        "SELECT r.id, l.epoch, r.epoch FROM deployments_lease l JOIN runs_flowrun r ON r.id = l.flow_run_id "
        "WHERE l.epoch <> r.epoch",
        "is leased for attempt {}, but is at attempt {}",
    ),
    Law(
        "I6",
        "flow-run",
        "SELECT flow_run_id, COUNT(*), epoch FROM runs_flowrunstate WHERE epoch > 0 AND type = 'PENDING' "
        "AND author LIKE 'agent %%' GROUP BY flow_run_id, epoch HAVING COUNT(*) > 1",
        "was claimed {} times for attempt {}",
    ),
    Law(
        "I6",
        "flow-run",
        "SELECT b.flow_run_id, COUNT(*), b.epoch FROM runs_flowrunstate a JOIN runs_flowrunstate b "
        "ON b.flow_run_id = a.flow_run_id AND b.seq = a.seq + 1 AND b.epoch = a.epoch AND b.epoch > 0 "
        f"WHERE b.type = 'RUNNING' AND a.type IN {_STARTING} "
        "GROUP BY b.flow_run_id, b.epoch HAVING COUNT(*) > 1",
        "was started {} times in attempt {}",
    ),
    Law(
        "I8",
        "flow-run",
        f"SELECT r.id, r.state_type, r.epoch FROM runs_flowrun r LEFT JOIN deployments_lease l ON l.flow_run_id = r.id "
        f"WHERE r.state_type IN {sql_of(HOLDING)} "
        "AND l.flow_run_id IS NULL AND r.epoch > 0 AND EXISTS (SELECT 1 FROM runs_flowrunstate s "
        "WHERE s.flow_run_id = r.id AND s.epoch = r.epoch AND s.type = 'PENDING' AND s.author LIKE 'agent %%')",
        "is {} in attempt {}, which an agent took, and no agent holds it",
    ),
    Law(
        "I8",
        "flow-run",
        "SELECT r.id, r.state_name FROM deployments_lease l JOIN runs_flowrun r ON r.id = l.flow_run_id "
        f"WHERE r.state_type IS NULL OR r.state_type IN {sql_of(TERMINAL)}",
        "is {} and still leased",
    ),
    Law(
        "I8",
        "flow-run",
        "SELECT flow_run_id, expires_at FROM deployments_lease WHERE expires_at < %s",
        "has a lease that expired at {} and was not revoked; is the reconciler running?",
        patience=_DETECTION,
    ),
    Law(
        "I8",
        "task-run",
        "SELECT t.id, t.state_type, r.state_type FROM runs_taskrun t JOIN runs_flowrun r ON r.id = t.flow_run_id "
        f"WHERE t.state_type IN {_STARTING} AND r.epoch > 0 AND r.state_type IN ('CRASHED', 'CANCELLED') "
        "AND r.state_timestamp < %s AND NOT EXISTS (SELECT 1 FROM runs_flowrun n "
        "WHERE n.parent_task_run_id = t.id AND n.deployment_id IS NOT NULL)",
        "is {}, though its flow run is {}",
        patience=_CLEAN_UP,
    ),
)
