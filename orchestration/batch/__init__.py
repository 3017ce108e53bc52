"""Many transitions of task runs at once: the way in which the SDK reports. The hot path of Orion.

`items` is what comes in and goes out, `loading` reads everything that the items concern, `apply` judges them one by
one in memory, `writing` stores what came of it. The number of queries does not depend on the number of items.
"""

from __future__ import annotations

from orchestration.batch.apply import apply_task_run_transitions
from orchestration.batch.items import BatchOutcome, ItemOutcome, TaskRunTransition
from orchestration.stored import NewTaskRun

__all__ = ["BatchOutcome", "ItemOutcome", "NewTaskRun", "TaskRunTransition", "apply_task_run_transitions"]
