"""Values that are sent to flow runs while they execute, and their reception."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast
from uuid import UUID, uuid4

from orionflow.calls.flow_runs import create_flow_run_input, read_flow_run_inputs
from orionflow.clock import current_clock
from orionflow.context import FlowRunContext
from orionflow.contract.records import FlowRunInput
from orionflow.engine.api import current_client
from orionflow.engine.commands import read_commands
from orionflow.engine.drivers import drive, drive_async, drive_or_await
from orionflow.engine.effects import Sleep, Steps, send
from orionflow.errors import MissingContext
from orionflow.input.kinds import Kind, kind_of
from orionflow.input.models import SENDER_PREFIX, Metadata, RunInput
from orionflow.options.checks import checked_run_id
from orionflow.wire import encode

T = TypeVar("T")


def send_input(
    run_input: Any, flow_run_id: UUID | str, sender: str | None = None, key_prefix: str | None = None
) -> Any:
    """Send a value to a flow run, which reads it with `receive_input`. In coroutines, await it.

    - `run_input`: a model, or anything that JSON can express.
    - `flow_run_id`: the run that receives it.
    - `sender`: the name of the sender; by default the current flow run.
    - `key_prefix`: a name under which the other run waits for it; by default that of the type.

    Raises `NotFound` if there is no such run.
    """
    return drive_or_await(_sent(run_input, checked_run_id(flow_run_id), sender or _own_name(), key_prefix))


def _sent(value: Any, flow_run_id: UUID, sender: str | None, key_prefix: str | None) -> Steps[None]:
    kind = kind_of(type(value))
    key = f"{key_prefix or kind.prefix}-{uuid4()}"
    content = encode(kind.content(value)).decode()
    with current_client() as client:
        yield send(client, create_flow_run_input(flow_run_id, key, content, sender=sender))


def _own_name() -> str | None:
    context = FlowRunContext.get()
    return None if context is None else f"{SENDER_PREFIX}{context.id}"


def receive_input(
    input_type: Any,
    timeout: float | None = 3600,
    poll_interval: float = 10,
    raise_timeout_error: bool = False,
    exclude_keys: Collection[str] | None = None,
    key_prefix: str | None = None,
    flow_run_id: UUID | str | None = None,
    with_metadata: bool = False,
) -> Receiver[Any]:
    """Yield values of a type that were sent to this flow run, or to another one, oldest first.

    Loop over them with `for` or `async for`, or call `next()`.

    - `input_type`: the expected type, such as `str`, a model or a `RunInput`.
    - `timeout`: for how many seconds to wait for the next one (default: an hour; `None`: forever). A loop then ends;
      `next()` raises `TimeoutError`.
    - `poll_interval`: how often to ask, in seconds (default: 10).
    - `raise_timeout_error`: with `True`, a loop raises `TimeoutError` as well.
    - `exclude_keys`: keys of inputs to pass over.
    - `key_prefix`: the name that the senders used; by default that of the type.
    - `flow_run_id`: receive inputs sent to this run in place of the current one.
    - `with_metadata`: with `True`, plain values come as `Received`, which knows the sender; a `RunInput` knows it in
      any case.

    Raises `MissingContext` outside of a flow without `flow_run_id`.
    """
    kind = kind_of(input_type)
    return Receiver(
        kind=kind,
        flow_run_id=_receiving(flow_run_id),
        prefix=key_prefix or kind.prefix,
        timeout=timeout,
        poll_interval=poll_interval,
        raises=raise_timeout_error,
        seen=set(exclude_keys or ()),
        with_metadata=with_metadata,
    )


def _receiving(flow_run_id: UUID | str | None) -> UUID:
    if flow_run_id is not None:
        return checked_run_id(flow_run_id)
    context = FlowRunContext.get()
    if context is None:
        raise MissingContext("There is no flow run to receive input for; pass flow_run_id, or call this in a flow.")
    return context.id


@dataclass(frozen=True, slots=True)
class Received(Generic[T]):
    """A received value with its metadata."""

    value: T
    metadata: Metadata

    def respond(self, run_input: Any, sender: str | None = None, key_prefix: str | None = None) -> Any:
        """Send a value to the flow run that sent this one. In coroutines, await it."""
        return send_input(run_input, self.metadata.sending_flow_run, sender, key_prefix)


@dataclass(slots=True, kw_only=True)
class Receiver(Generic[T]):
    """Inputs of one kind for one flow run, each received once."""

    kind: Kind
    flow_run_id: UUID
    prefix: str
    timeout: float | None
    poll_interval: float
    raises: bool
    seen: set[str]
    with_metadata: bool

    def next(self) -> Any:
        """Wait for the next input and return it; raise TimeoutError if none comes in time. In coroutines, await it."""
        return drive_or_await(self._steps())

    def __iter__(self) -> Receiver[T]:
        return self

    def __next__(self) -> T:
        try:
            return drive(self._steps())
        except TimeoutError:
            if self.raises:
                raise
            raise StopIteration from None

    def __aiter__(self) -> Receiver[T]:
        return self

    async def __anext__(self) -> T:
        try:
            return await drive_async(self._steps())
        except TimeoutError:
            if self.raises:
                raise
            raise StopAsyncIteration from None

    def _steps(self) -> Steps[T]:
        clock, run = current_clock(), FlowRunContext.get()
        until = None if self.timeout is None else clock.monotonic() + self.timeout
        with current_client() as client:
            while True:
                found = yield send(client, self._question())
                if found:
                    return self._taken(found[0])
                left = self.poll_interval if until is None else until - clock.monotonic()
                if left <= 0:
                    raise TimeoutError(f"No input {self.prefix!r} came within {self.timeout:g} s.")
                yield Sleep(min(self.poll_interval, left))
                # Nothing is reported in the meantime, so no answer brings a command to cancel or pause.
                if run is not None:
                    yield from read_commands(run)

    def _question(self) -> Any:
        return read_flow_run_inputs(self.flow_run_id, self.prefix, exclude_keys=sorted(self.seen))

    def _taken(self, found: FlowRunInput) -> T:
        self.seen.add(found.key)
        value = self.kind.read(found.value)
        metadata = Metadata(found.key, found.sender, found.flow_run_id)
        if isinstance(value, RunInput):
            value._metadata = metadata
        elif self.with_metadata:
            return cast(T, Received(value, metadata))
        return cast(T, value)
