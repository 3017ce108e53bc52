"""Operations: one class for each, a pydantic model in and a described value out, bound to paths by `Endpoint`.

An operation is a view of Django REST framework, whose settings say who asks, whether they may, how often, and what
becomes of errors. Its `perform` says by its signature what it takes: `body` and `query` are models, everything else
stands in the path. The same signature makes the OpenAPI document.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, get_type_hints
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db import connections
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from pydantic import BaseModel, TypeAdapter, ValidationError
from rest_framework.exceptions import PermissionDenied as Forbidden
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from orchestration.api.errors import InvalidRequest, Refused, complaint, complaints_of
from orchestration.api.fencing import names_an_attempt, write_as_attempt
from orchestration.errors import DomainError
from orchestration.reading import REPLICA
from orchestration.sight import refuse_others, refuse_unseen, sees_in_part
from orion_site.accounts.permissions import Action, may_here, refuse_held_by_others
from orionflow.contract.masking import known

if TYPE_CHECKING:
    from rest_framework.pagination import BasePagination

Row = TypeVar("Row", bound=Model)
# Somebody asked for something and did not get it; what could not be read asked for nothing.
_REFUSALS = (DomainError, Refused, PermissionDenied, Forbidden)
_ABOUT_RUNS = frozenset({Action.REPORT_RUNS, Action.CREATE_RUNS})
OLDEST_API = (0, 8, 0)


class Operation(APIView):
    """One operation of the API. Subclasses declare, and define `perform`."""

    method: ClassVar[str]
    action_required: ClassVar[Action | None] = None
    allowed_too: ClassVar[Action | None] = None
    """Another action that lets somebody in, where `perform` looks at how much of it that one allows."""
    by_sight: ClassVar[bool] = False
    """Whether `perform` itself refuses to whoever has rights on named objects what is not seen."""
    reports: ClassVar[bool] = False
    """Whether it reports about runs that its body names: whoever has rights on some runs may, about those."""
    answers: ClassVar[Mapping[int, Any]]
    """The type of the answer's content by status, the usual one first; None for no content."""
    media_type: ClassVar[str] = "application/json"
    """Of the usual answer; errors are JSON always."""
    body_optional: ClassVar[bool] = False
    missing: ClassVar[int] = 404
    """The status when something that the request names is not there: in a path 404, in a body a conflict."""
    odd_id: ClassVar[int] = 422
    """The status when the path does not fit: 404 where Prefect's clients look for things under ids that are none."""
    orchestrates: ClassVar[bool] = False
    """Whether a missing run is told in the words of the rules instead of a plain detail."""
    fences_itself: ClassVar[bool] = False
    """Whether `perform` looks itself at the attempt that the headers of a write may name."""

    may_lag: ClassVar[bool] = False
    """Whether the answer may be that of a replica, some seconds old (`orion_site.database.replica`)."""
    masks_secrets: ClassVar[bool] = False
    """Whether the body is what a program says of itself, to be shown: secrets that are known do not get into it."""

    # The other operations on the same path, for the Allow header and the browsable page.
    siblings: tuple[type[Operation], ...] = ()
    perform: ClassVar[Callable[..., Any]]
    arguments: ClassVar[Arguments]
    pagination_class: ClassVar[type[BasePagination] | None] = None
    """Which rows of a list are given; None for the default of the settings."""
    body: Any = None
    """The content of the request while it is performed."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if getattr(cls, "method", None):
            setattr(cls, cls.method.lower(), cls._respond)
            cls.http_method_names = [cls.method.lower(), *(["head"] if cls.method == "GET" else [])]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if version := request.META.get("HTTP_X_PREFECT_API_VERSION"):
            refuse_old_client(version)

    def _respond(self, request: Request, **path: str) -> HttpResponseBase:
        arguments = arguments_of(type(self)).read(request, path, masked=self.masks_secrets)
        self.body = arguments.get("body")
        try:
            if self.reports and sees_in_part():
                refuse_unseen(self.reported_runs(self.body))
                refuse_others(self.named_rows(self.body))
            if self.action_required in _ABOUT_RUNS and not may_here(request, self.allowed_too):
                refuse_held_by_others(request, [*self.reported_runs(self.body), *self.named_rows(self.body)])
            with self._recorded(request, path):
                if names_an_attempt(request) and self._is_fenced():
                    answer = write_as_attempt(request, path, lambda: self.perform(**arguments))
                elif self.may_lag and REPLICA in connections.settings:
                    return self._lagging(request, arguments)
                else:
                    answer = self.perform(**arguments)
        finally:
            # View and request hold each other until the next full collection; thousands of steps shall not wait for it.
            self.body = None
            arguments.clear()
        return self._response_to(answer)

    def _lagging(self, request: Request, arguments: Mapping[str, Any]) -> HttpResponseBase:
        """Perform it on the replica, if that is fit for it."""
        # Only a server with a replica needs it.
        from orion_site.database.replica import answered, where_to_read

        answer, read = answered(where_to_read(request), lambda: self.perform(**arguments))
        response = self._response_to(answer)
        for name, value in read.headers.items():
            response.headers[name] = value
        return response

    def _response_to(self, answer: Any) -> HttpResponseBase:
        return answer if isinstance(answer, HttpResponseBase) else Response(answer, status=next(iter(self.answers)))

    def reported_runs(self, body: Any) -> Iterable[tuple[str, UUID | None]]:
        """The tables and ids of the runs that a report is about."""
        return ()

    def named_rows(self, body: Any) -> Iterable[tuple[str, UUID | None]]:
        """The rows that it names besides, and that need not be there: ids that its sender chose, or reports later."""
        return ()

    def is_recorded(self) -> bool:
        """Whether the audit log has an entry of it: not of reading, nor of what runs and agents report."""
        action = self.action_required
        return action is not None and not action.is_reading and not action.is_reporting

    def recorded_as(self) -> str:
        return type(self).__name__

    def _recorded(self, request: Request, path: Mapping[str, str]) -> AbstractContextManager[object]:
        if not self.is_recorded():
            return nullcontext()
        # Imported by whoever changes something: a flow that runs and reports never does.
        from orion_site.audit.entrances import recorded_operation

        assert self.action_required is not None
        return recorded_operation(request, self.action_required, self.recorded_as(), path)

    def handle_exception(self, exc: Exception) -> Response:
        answer: Response = super().handle_exception(exc)
        # Clients change what they find, and create what they do not.
        is_refusal = isinstance(exc, _REFUSALS) and answer.status_code < 500 and answer.status_code != 404
        if is_refusal and self.is_recorded():
            from orion_site.audit.entrances import record_refusal

            assert self.action_required is not None
            record_refusal(self.request, self.action_required, self.recorded_as(), self.kwargs, str(exc))
        return answer

    def paginate_queryset(self, rows: QuerySet[Row, Row]) -> list[Row]:
        """The rows of a list that the request asks for."""
        # The default is looked up when a list is asked for: reports never load it.
        pagination = self.pagination_class or api_settings.DEFAULT_PAGINATION_CLASS
        found: list[Row] = pagination().paginate_queryset(rows, self.request, view=self)
        return found

    def _is_fenced(self) -> bool:
        action = self.action_required
        return action is not None and not action.is_reading and not self.fences_itself

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        # What a client did wrong is told to the client; what we did wrong was logged where it occurred.
        response._has_been_logged = True
        return super().finalize_response(request, response, *args, **kwargs)

    def _allowed_methods(self) -> list[str]:
        return [operation.method for operation in self.siblings or (type(self),)]

    def get_view_name(self) -> str:
        return title_of(type(self))


def title_of(operation: type[Operation]) -> str:
    """The class's name as words: ReadFlowRun becomes "Read flow run"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", operation.__name__).capitalize()


@dataclass(frozen=True, slots=True)
class Named:
    """An operation that is imported when it is first asked for."""

    module: str
    name: str

    def load(self) -> type[Operation]:
        operation: type[Operation] = getattr(import_module(self.module), self.name)
        return operation


class Later:
    """A module of operations that a short-lived process may never need: `lists = Later("runs.lists.api")`."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Named:
        return Named(self._module, name)


class Endpoint:
    """The view of one path: each of its methods is an operation."""

    # Programs have no cookies that could be abused; the guard looks at Origin instead.
    csrf_exempt = True

    def __init__(self, *declared: type[Operation] | Named) -> None:
        self._declared = declared

    @cached_property
    def operations(self) -> tuple[type[Operation], ...]:
        return tuple(one.load() if isinstance(one, Named) else one for one in self._declared)

    @cached_property
    def _views(self) -> dict[str, Callable[..., HttpResponseBase]]:
        views = {operation.method: operation.as_view(siblings=self.operations) for operation in self.operations}
        return {**views, "HEAD": views["GET"]} if "GET" in views else views

    def __call__(self, request: HttpRequest, **path: str) -> HttpResponseBase:
        # Any operation will do to say which methods there are.
        view = self._views.get(request.method or "") or next(iter(self._views.values()))
        return view(request, **path)


@lru_cache(maxsize=32)
def refuse_old_client(version: str) -> None:
    """Clients say which API they were written for; those before 0.8 expect another one."""
    if not re.fullmatch(r"\d{1,9}\.\d{1,9}\.\d{1,9}", version):
        raise Refused(f"Invalid X-PREFECT-API-VERSION header format: {version[:100]!r}. Use three numbers: 0.8.4.", 400)
    if tuple(int(part) for part in version.split(".")) < OLDEST_API:
        oldest = ".".join(map(str, OLDEST_API))
        raise Refused(f"The client was written for API {version}, and this server answers from {oldest} on.", 400)


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of an operation, read from its signature."""

    path: Mapping[str, TypeAdapter[Any]]
    body: TypeAdapter[Any] | None
    body_optional: bool
    query: type[BaseModel] | None
    odd_id: int

    def read(self, request: Request, path: Mapping[str, str], *, masked: bool = False) -> dict[str, Any]:
        try:
            arguments = {name: _read_path(adapter, path[name], name) for name, adapter in self.path.items()}
        except InvalidRequest:
            if self.odd_id == 404:
                raise Http404 from None
            raise
        if self.query is not None:
            arguments["query"] = _read_query(self.query, request)
        if self.body is not None:
            content = known.masked_json(request.data) if masked and isinstance(request.data, bytes) else request.data
            arguments["body"] = _read_body(self.body, content, self.body_optional)
        return arguments


def arguments_of(operation: type[Operation]) -> Arguments:
    """Read once, when the operation is first asked for: models are built then, not at import."""
    if "arguments" not in operation.__dict__:
        operation.arguments = _signature(operation)
    return operation.arguments


def _signature(operation: type[Operation]) -> Arguments:
    hints = get_type_hints(operation.perform, include_extras=True)
    parameters = inspect.signature(operation.perform).parameters
    body = hints.get("body")
    return Arguments(
        path={name: TypeAdapter(hints[name]) for name in parameters if name not in {"self", "body", "query"}},
        body=TypeAdapter(body) if body is not None else None,
        body_optional=operation.body_optional,
        query=hints.get("query"),
        odd_id=operation.odd_id,
    )


def _read_path(adapter: TypeAdapter[Any], value: str, name: str) -> Any:
    _refuse_nul(value, "path", name)
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise InvalidRequest(complaints_of(error, "path", name)) from None


def _read_query(query: type[BaseModel], request: Request) -> Any:
    for name, value in request.GET.items():
        _refuse_nul(value, "query", name)
    try:
        return query.model_validate(request.GET.dict())
    except ValidationError as error:
        raise InvalidRequest(complaints_of(error, "query")) from None


def _read_body(adapter: TypeAdapter[Any], body: Any, optional: bool) -> Any:
    # Without a body DRF gives an empty dictionary, or form fields.
    raw = body if isinstance(body, bytes) else b""
    if not raw.strip():
        raw = b"{}" if optional else b"null"
    elif optional and raw.strip() == b"null":
        raw = b"{}"
    try:
        return adapter.validate_json(raw)
    except ValidationError as error:
        raise InvalidRequest(complaints_of(error, "body"), raw) from None


def _refuse_nul(value: str, *place: str) -> None:
    if "\x00" in value:
        raise InvalidRequest([complaint([*place], "Text must not contain the character NUL", "nul_character")])
