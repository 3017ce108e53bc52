"""The options of `@flow` and `@task` with their types. Only type checkers read this module; no program imports it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, TypedDict

from orionflow.flows import Overlap
from orionflow.options.hooks import Hook
from orionflow.options.names import NameOption
from orionflow.options.retries import Delays
from orionflow.results import StoreOption
from orionflow.serializers import Serializer
from orionflow.task_runners import TaskRunner
from orionflow.tasks import CacheKeyFunction, RetryCondition


class SharedOptions(TypedDict, total=False):
    """The options of flows and of tasks."""

    name: str | None
    description: str | None
    version: str | None
    tags: Iterable[str] | None
    retries: int | None
    crash_retries: int
    timeout_seconds: float | timedelta | None
    persist_result: bool | None
    result_storage: StoreOption
    result_serializer: Serializer | str | None
    result_expiration: timedelta | None
    cache_result_in_memory: bool
    log_prints: bool | None
    on_completion: Iterable[Hook] | None
    on_failure: Iterable[Hook] | None


class FlowOptions(SharedOptions, total=False):
    """The options of `@flow`."""

    flow_run_name: NameOption
    retry_delay_seconds: float | timedelta | None
    task_runner: TaskRunner | type[TaskRunner] | None
    validate_parameters: bool
    submit_calls: bool
    strict: bool
    overlap: Overlap
    on_cancellation: Iterable[Hook] | None
    on_crashed: Iterable[Hook] | None
    on_running: Iterable[Hook] | None


class TaskOptions(SharedOptions, total=False):
    """The options of `@task`."""

    task_run_name: NameOption
    retry_delay_seconds: Delays
    retry_jitter_factor: float | None
    retry_condition_fn: RetryCondition | None
    cache_key_fn: CacheKeyFunction | None
    cache_expiration: timedelta | None
    refresh_cache: bool | None
    result_storage_key: str | None
    viz_return_value: Any
