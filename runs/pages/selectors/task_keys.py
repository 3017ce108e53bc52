"""The keys of the tasks of flow runs, each found by the unique index of task runs, which leads from one to the next."""

from __future__ import annotations

from orchestration.tables import TASK_RUNS

_LEAST = f"SELECT MIN(t.task_key) FROM {TASK_RUNS.runs} t WHERE t.flow_run_id = "

# The task runs of one key, as `t`: for subqueries of a query that reads the rows of `walked` as `w`.
OF_TASK = f"FROM {TASK_RUNS.runs} t WHERE t.flow_run_id = w.run AND t.task_key = w.task_key"


def with_task_keys(asked: str, most: int) -> str:
    """Return the WITH clause for the table `walked`: a number, a run, and one of the first `most` keys of its tasks.

    - `asked`: a query of pairs, a number and the id of a flow run.

    The key is null where a run has no further task. No task run is read, however many there are.
    """
    return (
        f"WITH RECURSIVE asked(number, run) AS ({asked}), walked(number, run, place, task_key) AS ("
        f"SELECT a.number, a.run, 1, ({_LEAST} a.run) FROM asked a "
        f"UNION ALL SELECT w.number, w.run, w.place + 1, ({_LEAST} w.run AND t.task_key > w.task_key) "
        f"FROM walked w WHERE w.task_key IS NOT NULL AND w.place < {most}) "
    )
