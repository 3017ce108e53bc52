"""Operations: one class for each, a pydantic model in and a described value out, bound to paths by `Endpoint`.

An operation is a view of Django REST framework, whose settings define authentication, permissions, throttling and the
handling of errors. The signature of its `perform` declares the arguments: `body` and `query` are models, and all other
parameters come from the path. The OpenAPI document is made from the same signature.
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
# Refusals that the audit log records. A request that could not be parsed asked for nothing, so it is not recorded.
_REFUSALS = (DomainError, Refused, PermissionDenied, Forbidden)
# The actions whose requests may name runs that agents of other users hold.
_ABOUT_RUNS = frozenset({Action.REPORT_RUNS, Action.CREATE_RUNS, Action.REPORT_EVENTS, Action.TAKE_SLOTS})
OLDEST_API = (0, 8, 0)


class Operation(APIView):
    """One operation of the API. Subclasses set the class attributes and define `perform`."""

    method: ClassVar[str]
    action_required: ClassVar[Action | None] = None
    allowed_too: ClassVar[Action | None] = None
    """Another action that admits a user. `perform` then checks how much that action allows."""
    by_sight: ClassVar[bool] = False
    """Whether `perform` itself refuses objects that a user with rights on named objects does not see."""
    reports: ClassVar[bool] = False
    """Whether it reports about runs that its body names. A user with rights on some runs may report about those."""
    answers: ClassVar[Mapping[int, Any]]
    """The type of the answer's content by status, the usual status first; None for no content."""
    media_type: ClassVar[str] = "application/json"
    """The media type of the usual answer. Errors are always JSON."""
    body_optional: ClassVar[bool] = False
    missing: ClassVar[int] = 404
    """The status if something that the request names does not exist: 404 if in the path, 409 if in the body."""
    odd_id: ClassVar[int] = 422
    """The status if an id in the path is invalid: 404 where Prefect's clients look things up by ids that may be."""
    orchestrates: ClassVar[bool] = False
    """Whether a missing run is reported in the body format of the rules instead of a plain `detail`."""
    fences_itself: ClassVar[bool] = False
    """Whether `perform` itself checks the attempt that the headers of a write may name."""

    may_lag: ClassVar[bool] = False
    """Whether the answer may come from a replica, some seconds behind (`orion_site.database.replica`)."""
    masks_secrets: ClassVar[bool] = False
    """Whether the body is text of a program that users see: known secrets are masked in it before it is stored."""

    # The other operations on the same path, for the Allow header and the browsable page.
    siblings: tuple[type[Operation], ...] = ()
    perform: ClassVar[Callable[..., Any]]
    arguments: ClassVar[Arguments]
    pagination_class: ClassVar[type[BasePagination] | None] = None
    """The pagination of a list; None for the default of the settings."""
    body: Any = None
    """The content of the request while the operation is performed."""

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
        arguments = arguments_of(type(self)).read(request, path, mask=self.masked if self.masks_secrets else None)
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
            # View and request refer to each other, so only a full collection frees them; do not keep thousands of steps
            # until then.
            self.body = None
            arguments.clear()
        return self._response_to(answer)

    def _lagging(self, request: Request, arguments: Mapping[str, Any]) -> HttpResponseBase:
        """Perform the operation on the replica, if the replica can answer this request."""
        # Imported here because only a server with a replica needs it.
        from orion_site.database.replica import answered, where_to_read

        answer, read = answered(where_to_read(request), lambda: self.perform(**arguments))
        response = self._response_to(answer)
        for name, value in read.headers.items():
            response.headers[name] = value
        return response

    def _response_to(self, answer: Any) -> HttpResponseBase:
        return answer if isinstance(answer, HttpResponseBase) else Response(answer, status=next(iter(self.answers)))

    def masked(self, body: bytes) -> bytes:
        """Return the body of the request with known secrets masked, for an operation that masks them."""
        return known.masked_json(body)

    def reported_runs(self, body: Any) -> Iterable[tuple[str, UUID | None]]:
        """Return the tables and ids of the runs that a report is about."""
        return ()

    def named_rows(self, body: Any) -> Iterable[tuple[str, UUID | None]]:
        """Return other rows that the body names and that may not exist yet: ids that the sender chose."""
        return ()

    def is_recorded(self) -> bool:
        """Whether the audit log records it. Reads are not recorded, nor are reports of runs and agents."""
        action = self.action_required
        return action is not None and not action.is_reading and not action.is_reporting

    def recorded_as(self) -> str:
        return type(self).__name__

    def _recorded(self, request: Request, path: Mapping[str, str]) -> AbstractContextManager[object]:
        if not self.is_recorded():
            return nullcontext()
        # Imported here because only changes need it: a flow that runs and reports never does.
        from orion_site.audit.entrances import recorded_operation

        assert self.action_required is not None
        return recorded_operation(request, self.action_required, self.recorded_as(), path)

    def handle_exception(self, exc: Exception) -> Response:
        answer: Response = super().handle_exception(exc)
        # A 404 is not a refusal: clients look for things and create those that do not exist.
        is_refusal = isinstance(exc, _REFUSALS) and answer.status_code < 500 and answer.status_code != 404
        if is_refusal and self.is_recorded():
            from orion_site.audit.entrances import record_refusal

            assert self.action_required is not None
            record_refusal(self.request, self.action_required, self.recorded_as(), self.kwargs, str(exc))
        return answer

    def paginate_queryset(self, rows: QuerySet[Row, Row]) -> list[Row]:
        """Return the rows of a list that the request asks for."""
        # Look up the default only when a list is requested, so that reports never load it.
        pagination = self.pagination_class or api_settings.DEFAULT_PAGINATION_CLASS
        found: list[Row] = pagination().paginate_queryset(rows, self.request, view=self)
        return found

    def _is_fenced(self) -> bool:
        action = self.action_required
        return action is not None and not action.is_reading and not self.fences_itself

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        # Do not log: the client learns about its own errors from the answer, and ours were logged where they occurred.
        response._has_been_logged = True
        return super().finalize_response(request, response, *args, **kwargs)

    def _allowed_methods(self) -> list[str]:
        return [operation.method for operation in self.siblings or (type(self),)]

    def get_view_name(self) -> str:
        return title_of(type(self))


def title_of(operation: type[Operation]) -> str:
    """Return the class's name as words: ReadFlowRun becomes "Read flow run"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", operation.__name__).capitalize()


@dataclass(frozen=True, slots=True)
class Named:
    """An operation that is imported when it is first requested."""

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

    # API clients send no cookies that another site could abuse; the guard checks the Origin header instead.
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
        # For an unknown method use any operation: DRF then answers with the allowed methods.
        view = self._views.get(request.method or "") or next(iter(self._views.values()))
        return view(request, **path)


@lru_cache(maxsize=32)
def refuse_old_client(version: str) -> None:
    """Refuse clients that were written for an API before 0.8, which is incompatible."""
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

    def read(
        self, request: Request, path: Mapping[str, str], *, mask: Callable[[bytes], bytes] | None = None
    ) -> dict[str, Any]:
        try:
            arguments = {name: _read_path(adapter, path[name], name) for name, adapter in self.path.items()}
        except InvalidRequest:
            if self.odd_id == 404:
                raise Http404 from None
            raise
        if self.query is not None:
            arguments["query"] = _read_query(self.query, request)
        if self.body is not None:
            content = mask(request.data) if mask and isinstance(request.data, bytes) else request.data
            arguments["body"] = _read_body(self.body, content, self.body_optional)
        return arguments


def arguments_of(operation: type[Operation]) -> Arguments:
    """Return the arguments, read when the operation is first requested, so that models are not built at import."""
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
    # For an empty body, DRF gives an empty dictionary or form fields instead of bytes.
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
