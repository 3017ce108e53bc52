"""A wrong option of a decorator is reported where it was given, in one sentence."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from orionflow import flow, task
from orionflow.errors import UsageError
from orionflow.testing import Isolated

WRONG = [
    ({"timeout_seconds": "soon"}, "timeout_seconds='soon' must be a number of seconds"),
    ({"timeout_seconds": -1}, "timeout_seconds=-1 must be a number of seconds"),
    ({"tags": [3]}, "tags takes texts, and 3 is none"),
    ({"tags": 3}, "tags takes texts"),
    ({"name": 3}, "name=3 must be a text"),
    ({"retry": 3}, r"have no option retry\. Did you mean retries\?"),
]
WRONG_FOR_TASKS = [
    ({"cache_expiration": 3600}, r"cache_expiration=3600 must be a timedelta"),
    ({"cache_key_fn": "key"}, "cache_key_fn must be a function"),
    ({"retry_jitter_factor": "much"}, "retry_jitter_factor='much' must be a number"),
]


@pytest.mark.parametrize("decorator", [flow, task])
@pytest.mark.parametrize(("options", "told"), WRONG)
def test_wrong_option_is_told(decorator: Callable[..., Any], options: dict[str, Any], told: str):
    with pytest.raises(UsageError, match=told):
        decorator(**options)(lambda: None)


@pytest.mark.parametrize(("options", "told"), WRONG_FOR_TASKS)
def test_wrong_option_of_a_task_is_told(options: dict[str, Any], told: str):
    with pytest.raises(UsageError, match=told):
        task(**options)(lambda: None)


@pytest.mark.parametrize("long", [timedelta.max, timedelta.min, timedelta(days=2_920_000)], ids=str)
@pytest.mark.parametrize("run_it", ["call", "submit"])
def test_any_length_of_time_is_taken(orion: Isolated, long: timedelta, run_it: str):
    limit = abs(long)

    @task(cache_key_fn=lambda *_: "key", cache_expiration=long, result_expiration=long, timeout_seconds=limit)
    def work() -> int:
        return 1

    @flow(timeout_seconds=limit, persist_result=True, result_expiration=long)
    def outer() -> Any:
        return work() if run_it == "call" else work.submit().result()

    assert outer() == 1


@pytest.mark.parametrize("decorator", [flow, task])
def test_timeout_may_be_a_duration_and_zero_is_none(decorator: Callable[..., Any]):
    assert decorator(timeout_seconds=timedelta(minutes=1))(lambda: None).timeout_seconds == 60
    assert decorator(timeout_seconds=0)(lambda: None).timeout_seconds is None


@pytest.mark.parametrize("most", [threading.TIMEOUT_MAX, 4_294_967.0], ids=["here", "windows"])
def test_no_timeout_is_longer_than_what_threads_wait(most: float):
    """Some systems let a thread wait for 49 days at most."""
    program = (
        f"import threading; threading.TIMEOUT_MAX = {most}; from datetime import timedelta; "
        "from orionflow import task; "
        "print(task(timeout_seconds=timedelta.max)(print).timeout_seconds <= threading.TIMEOUT_MAX)"
    )

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert said.stdout.strip() == "True"
