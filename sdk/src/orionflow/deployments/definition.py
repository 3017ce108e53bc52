"""Deployments as values: the options of a flow's deployment, and the object for the API."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orionflow.calls.deployments import create_deployment
from orionflow.calls.flows import create_flow
from orionflow.client import OrionClient
from orionflow.code.entrypoints import entrypoint_of
from orionflow.engine.drivers import drive_or_await
from orionflow.engine.effects import Steps, send
from orionflow.errors import ParameterError, UsageError
from orionflow.options.checks import check_known, checked_name, checked_tags, texts_of, warn_of_unreadable
from orionflow.options.parameters import as_json
from orionflow.options.retries import checked_count
from orionflow.schedules import Period, ScheduleOptions, schedules_of, seconds_of
from orionflow.storage import Storage, storage_of

if TYPE_CHECKING:
    from orionflow.flows import Flow, Overlap

DEFAULT_QUEUE = "default"
_BAD_IN_NAMES = frozenset("/%&><")


class DeploymentOptions(ScheduleOptions, total=False):
    """The options of a deployment, except its name."""

    work_queue_name: str | None
    work_pool_name: str | None
    parameters: Mapping[str, Any] | None
    enforce_parameter_schema: bool
    tags: Iterable[str] | None
    description: str | None
    version: str | None
    overlap: Overlap | None
    crash_retries: int | None
    concurrency_limit: int | None
    paused: bool
    must_start_within: Period | None
    must_finish_within: Period | None
    result_storage: str | None
    job_variables: Mapping[str, Any] | None
    secrets: Iterable[str] | None
    storage: str | Path | Storage | None
    entrypoint: str | None


@dataclass(slots=True, kw_only=True)
class Deployment:
    """How Orion runs a flow: which code, with which parameters, where and when.

    `Deployment.build_from_flow(etl, name="prod", cron="0 6 * * *").apply()` deploys it. Applied again under the same
    name, it replaces the earlier definition. Most programs call `flow.deploy`, which describes the options.

    - `name`, `flow_name`: together the name of the deployment, `flow/name`.
    - `entrypoint`, `path`, `pull_steps`: the function, as `file.py:flow`; the folder it is in; or the steps that fetch
      it.
    - `version`, `description`, `tags`: shown and searchable.
    - `parameters`, `parameter_openapi_schema`, `enforce_parameter_schema`: defaults of its runs, the schema of the
      parameters, and whether the server checks them.
    - `schedules`, `paused`: when it runs, and whether its schedules are paused.
    - `work_queue_name`, `work_pool_name`, `job_variables`: whose agents run it, and settings for these.
    - `overlap`, `concurrency_limit`, `crash_retries`: what happens if other runs are running, and after a crash.
    - `must_start_within`, `must_finish_within`: deadlines in seconds.
    - `result_storage`, `secrets`: where results go, and which blocks its runs read.

    Raises `UsageError` if the name does not fit.
    """

    name: str
    flow_name: str
    entrypoint: str
    version: str | None = None
    description: str | None = None
    tags: list[str] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    parameter_openapi_schema: dict[str, Any] = field(default_factory=dict)
    enforce_parameter_schema: bool = True
    schedules: list[dict[str, Any]] = field(default_factory=list)
    paused: bool = False
    work_queue_name: str | None = None
    work_pool_name: str | None = None
    job_variables: dict[str, Any] = field(default_factory=dict)
    path: str | None = None
    pull_steps: list[dict[str, Any]] | None = None
    overlap: str = "allow"
    crash_retries: int | None = None
    concurrency_limit: int | None = None
    must_start_within: float | None = None
    must_finish_within: float | None = None
    result_storage: str | None = None
    secrets: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name = _fit(checked_name(self.name, ""))

    @classmethod
    def build_from_flow(cls, flow: Flow[Any, Any], name: str, *, apply: bool = False, **options: Any) -> Deployment:
        """Return the deployment of a flow.

        - `flow`: the flow. `name`: the name of the deployment.
        - `apply`: with `True`, deploy it at once.
        - `options`: options of `flow.deploy`.

        Raises `UsageError` for an option that is unknown or does not fit, and `ParameterError` for parameters that the
        flow does not take.
        """
        check_known(options, frozenset(DeploymentOptions.__annotations__), "Deployments")
        deployment = _built(flow, name, options)
        if apply:
            deployment.apply()
        return deployment

    @property
    def full_name(self) -> str:
        """The name by which commands identify it: `flow/deployment`."""
        return f"{self.flow_name}/{self.name}"

    def apply(self) -> Any:
        """Create or change the deployment on the server, and return its id. In coroutines: `await deployment.apply()`.

        Raises an `ApiError` if the server refuses it or cannot be reached; the message says why.
        """
        return drive_or_await(self.applied())

    def applied(self) -> Steps[UUID]:
        """Return the steps of `apply`."""
        client = OrionClient()
        try:
            flow = yield send(client, create_flow(self.flow_name))
            stored = yield send(client, create_deployment(flow.id, self.name, **self.to_wire()))
        finally:
            client.close()
        id: UUID = stored.id
        return id

    def to_wire(self) -> dict[str, Any]:
        """Return the fields that the API stores, except name and flow. Empty fields are cleared there."""
        whole = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        if self.work_pool_name is None:
            whole["work_queue_name"] = self.work_queue_name or DEFAULT_QUEUE
        # A pool has a default queue, which the server knows.
        unset = {name for name in ("work_queue_name", "work_pool_name") if whole[name] is None}
        return {name: value for name, value in whole.items() if name not in {"name", "flow_name", *unset}}


def _built(flow: Flow[Any, Any], name: str, options: dict[str, Any]) -> Deployment:
    given = {key: value for key, value in options.items() if value is not None}
    schedules = schedules_of(**{key: given.pop(key) for key in ScheduleOptions.__annotations__ if key in given})
    place = _place(flow, given.pop("storage", None), given.pop("entrypoint", None))
    schema = flow.parameter_schema
    parameters = _parameters(flow, given.pop("parameters", {}))
    return Deployment(
        name=name,
        flow_name=flow.name,
        **place,
        schedules=schedules,
        parameters=parameters,
        parameter_openapi_schema=schema,
        version=given.pop("version", flow.version),
        description=given.pop("description", flow.description),
        tags=sorted(flow.tags | checked_tags(given.pop("tags", None))),
        overlap=given.pop("overlap", flow.overlap),
        # A process may be killed before it has loaded the code, so the server must know the number beforehand.
        crash_retries=checked_count(given.pop("crash_retries", flow.crash_retries), "crash_retries"),
        must_start_within=_seconds(given.pop("must_start_within", None)),
        must_finish_within=_seconds(given.pop("must_finish_within", None)),
        job_variables=dict(given.pop("job_variables", {})),
        secrets=sorted(set(texts_of(given.pop("secrets", ())))),
        **given,
    )


def _place(flow: Flow[Any, Any], source: str | Path | Storage | None, entrypoint: str | None) -> dict[str, Any]:
    """Return where an agent finds the flow: in a folder on its machine, or by steps that fetch the code."""
    if source is None and flow.fetched_from is not None:
        source, entrypoint = flow.fetched_from.storage, entrypoint or flow.fetched_from.entrypoint
    if source is None:
        return {"path": str(Path.cwd()), "entrypoint": entrypoint or entrypoint_of(flow)}
    storage = storage_of(source)
    return {
        "pull_steps": storage.pull_steps(),
        "entrypoint": entrypoint or _within(storage, entrypoint_of(flow, _root_in(storage))),
    }


def _within(storage: Storage, entrypoint: str) -> str:
    from orionflow.storage import LocalDirectory

    if Path(entrypoint).is_absolute() and not isinstance(storage, LocalDirectory):
        raise UsageError(
            f"Where is {entrypoint} in what {type(storage).__name__} brings? Say entrypoint='path/in/it.py:flow'."
        )
    return entrypoint


def _root_in(storage: Storage) -> Path:
    """Return the local folder that corresponds to the fetched one: a repository's top, or the working directory."""
    from orionflow.storage import GitRepository, LocalDirectory

    if isinstance(storage, LocalDirectory):
        return Path(storage.path).expanduser()
    here = Path.cwd()
    if not isinstance(storage, GitRepository):
        return here
    top = next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)
    return top / (storage.directory or "")


def _parameters(flow: Flow[Any, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    stored = as_json(given)
    takes_any = any(one.kind is one.VAR_KEYWORD for one in flow.signature.inspected.parameters.values())
    unknown = [key for key in given if key not in flow.signature.inspected.parameters]
    if unknown and not takes_any:
        raise ParameterError(
            f"{flow.name!r} has no parameter {unknown[0]!r}; it takes {flow.name}{flow.signature.inspected}."
        )
    return stored


def _seconds(period: float | timedelta | None) -> float | None:
    return None if period is None else seconds_of(period)


def _fit(name: str) -> str:
    if not name:
        raise UsageError("A deployment needs a name, such as name='prod'.")
    if bad := _BAD_IN_NAMES.intersection(name):
        raise UsageError(
            f"The deployment name {name!r} has {' '.join(sorted(bad))} in it; choose one without {'/%&><'!r}."
        )
    warn_of_unreadable(name, "deployment")
    return name
