"""A wrong option of a decorator is reported where it was given, in one sentence."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from orionflow import Flow, Task, flow, task
from orionflow.errors import UsageError
from orionflow.options.keywords import FlowOptions, TaskOptions
from orionflow.results import LocalFileSystem
from orionflow.schedules import Cron, schedules_of
from orionflow.serializers import JSONSerializer, register_serializer
from orionflow.testing import Isolated

WRONG = [
    ({"timeout_seconds": "soon"}, "timeout_seconds='soon' must be a number of seconds"),
    ({"timeout_seconds": -1}, "timeout_seconds=-1 must be a number of seconds"),
    ({"tags": [3]}, "tags takes texts, and 3 is none"),
    ({"tags": 3}, "tags takes texts"),
    ({"name": 3}, "name=3 must be a text"),
    ({"persist_result": "yes"}, "persist_result='yes' must be True, False or None"),
    ({"persist_result": [1]}, r"persist_result=\[1\] must be True, False or None"),
    ({"result_storage": 3}, "result_storage=3 stores nothing"),
    ({"result_storage": LocalFileSystem}, "stores nothing; give the name of a location, a folder, or an object"),
    ({"result_serializer": 3}, "result_serializer=3 serializes nothing"),
    ({"result_serializer": JSONSerializer}, "serializes nothing; give a name such as 'json', or an object"),
    ({"retry": 3}, r"have no option retry\. Did you mean retries\?"),
]
WRONG_FOR_TASKS = [
    ({"cache_expiration": 3600}, r"cache_expiration=3600 must be a timedelta"),
    ({"cache_key_fn": "key"}, "cache_key_fn must be a function"),
    ({"retry_jitter_factor": "much"}, "retry_jitter_factor='much' must be a number"),
]


@pytest.mark.parametrize("decorator", [flow, task])
@pytest.mark.parametrize(("options", "expected"), WRONG)
def test_wrong_option_is_reported(decorator: Callable[..., Any], options: dict[str, Any], expected: str):
    with pytest.raises(UsageError, match=expected):
        decorator(**options)(lambda: None)


@pytest.mark.parametrize("decorator", [flow, task])
@pytest.mark.parametrize("name", ["retry", "fn"])
def test_unknown_option_is_reported_before_a_function_is_decorated(decorator: Callable[..., Any], name: str):
    declared = decorator(lambda: None)

    for take in (decorator, declared.with_options):
        with pytest.raises(UsageError, match=f"have no option {name}"):
            take(**{name: 3})


@pytest.mark.parametrize("decorator", [flow, task])
def test_attributes_of_a_function_are_kept_with_those_of_a_flow(decorator: Callable[..., Any]):
    def load() -> int:
        return 1

    kept = {"owner": "shop", "fn": 3, "retries": 3, "name": 3, "with_options": 3, "option_names": 3, "_options": 3}
    vars(load).update(kept)
    declared = decorator(load).with_options(crash_retries=1)

    assert (declared.owner, declared.fn(), declared.retries, declared.name) == ("shop", 1, 0, "load")


@pytest.mark.parametrize("decorator", [flow, task])
def test_pickle_of_a_version_without_an_option_has_its_default(decorator: Callable[..., Any]):
    declared = decorator(retries=2, tags=["nightly"])(lambda: None)
    for name in ("retries", "tags", "log_prints"):
        del vars(declared)[name]

    restored = pickle.loads(pickle.dumps(declared))

    assert (restored.retries, restored.tags, restored.log_prints) == (0, frozenset(), None)


@pytest.mark.parametrize(("value", "meant"), [(1, True), (0, False), (True, True), (None, None)])
def test_whether_results_are_stored_may_be_any_truth_value(value: Any, meant: bool | None):
    assert task(persist_result=value)(lambda: None).persist_result is meant


class Reversed:
    """JSON, backwards."""

    type = "reversed"

    def dumps(self, value: Any) -> bytes:
        return JSONSerializer().dumps(value)[::-1]

    def loads(self, content: bytes) -> Any:
        return JSONSerializer().loads(content[::-1])


def test_a_serializer_may_be_registered_after_a_task_named_it():
    @task(persist_result=True, result_serializer="reversed")
    def number() -> int:
        return 12

    @flow(persist_result=True, result_serializer="reversed")
    def outer() -> int:
        return number()

    register_serializer(Reversed())

    assert outer() == 12


class Folder:
    """A place in the file system that is no Path."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


def test_results_go_to_a_folder_of_any_kind(tmp_path: Path):
    @task(persist_result=True, result_storage=Folder(tmp_path / "of task"))
    def number() -> int:
        return 12

    @flow(persist_result=True, result_storage=Folder(tmp_path / "of flow"))
    def outer() -> int:
        return number()

    assert outer() == 12
    assert all(any((tmp_path / place).iterdir()) for place in ("of task", "of flow"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"cron": 5}, r"5 is not a schedule; write a cron line, such as"),
        ({"rrule": 5}, r"5 is not a schedule; write a recurrence rule"),
        ({"interval": "hourly"}, "'hourly' is not a period; write seconds or a timedelta"),
        ({"schedules": [Cron(5)]}, "5 is not a schedule"),  # type: ignore[arg-type]
    ],
)
def test_a_schedule_of_another_type_is_named(options: dict[str, Any], expected: str):
    with pytest.raises(UsageError, match=expected):
        schedules_of(**options)


@pytest.mark.parametrize(("options", "expected"), WRONG_FOR_TASKS)
def test_wrong_option_of_a_task_is_reported(options: dict[str, Any], expected: str):
    with pytest.raises(UsageError, match=expected):
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
def test_timeout_may_be_a_duration_and_zero_means_no_limit(decorator: Callable[..., Any]):
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

    value = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert value.stdout.strip() == "True"


@pytest.mark.parametrize(("kind", "typed"), [(Flow, FlowOptions), (Task, TaskOptions)])
def test_every_option_has_a_type_for_type_checkers(kind: Any, typed: Any):
    assert kind.option_names == set(typed.__annotations__)
