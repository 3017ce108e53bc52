"""`RunInput`: a pydantic model that knows its sender, and can be answered."""

from __future__ import annotations

from collections.abc import Collection, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, create_model

from orionflow.errors import UsageError

if TYPE_CHECKING:
    from orionflow.input.passing import Receiver

SENDER_PREFIX = "prefect.flow-run."


@dataclass(frozen=True, slots=True)
class Metadata:
    """The key of an input, its sender, and the flow run that it was sent to."""

    key: str
    sender: str | None
    receiver: UUID

    @property
    def sending_flow_run(self) -> UUID:
        """The flow run that sent the input. Raise UsageError if it was not sent by a flow run."""
        sender = self.sender or ""
        if not sender.startswith(SENDER_PREFIX):
            raise UsageError(f"There is no sender to answer: the input {self.key!r} was not sent by a flow run.")
        return UUID(sender.rpartition(".")[2])


class RunInput(BaseModel):
    """Input that a flow run requests from users or programs: `class Approval(RunInput): approved: bool`.

    It is a pydantic model. Pass the class to `pause_flow_run(wait_for_input=Approval)`, or read sent values with
    `Approval.receive()`.
    """

    if TYPE_CHECKING:

        def __await__(self) -> Generator[Any, Any, Self]:
            """Make the type fit both cases: calls are awaited in coroutines, and not elsewhere."""

    model_config = ConfigDict(extra="forbid")
    _description: ClassVar[str | None] = None
    _metadata: Metadata | None = PrivateAttr(default=None)

    @property
    def metadata(self) -> Metadata:
        """The sender of this input, the run that it was sent to, and its key.

        Raises `UsageError` if it was created here and not received.
        """
        if self._metadata is None:
            raise UsageError(f"This {type(self).__name__} was created in this program, and was not received.")
        return self._metadata

    @classmethod
    def with_initial_data(cls, description: str | None = None, **initial: Any) -> type[Self]:
        """Return this input type with initial values: `pause_flow_run(Approval.with_initial_data("Ship it?",
        approved=False))`.

        - `description`: a text that explains the question, as Markdown.
        - `initial`: values of its fields, which the form shows.
        """
        fields: Any = {name: _field(cls, name, value) for name, value in initial.items()}
        model: type[Self] = create_model(cls.__name__, __base__=cls, **fields)
        if description is not None:
            model._description = description
        return model

    def send_to(self, flow_run_id: UUID | str, sender: str | None = None, key_prefix: str | None = None) -> Any:
        """Send this to a flow run, which reads it with `receive`. In coroutines, await it.

        - `flow_run_id`: the run that receives it.
        - `sender`: the name of the sender; by default the current flow run.
        - `key_prefix`: a name under which the other run waits for it; by default that of the type.

        Raises `NotFound` if there is no such run.
        """
        from orionflow.input.passing import send_input

        return send_input(self, flow_run_id, sender, key_prefix)

    def respond(self, run_input: Any, sender: str | None = None, key_prefix: str | None = None) -> Any:
        """Send a value to the flow run that sent this one. In coroutines, await it.

        - `run_input`: a model, or anything that JSON can express.
        - `sender`: the name of the sender; by default the current flow run.
        - `key_prefix`: a name under which the other run waits for it; by default that of the type.

        Raises `UsageError` if this input was not sent by a flow run.
        """
        from orionflow.input.passing import send_input

        return send_input(run_input, self.metadata.sending_flow_run, sender, key_prefix)

    @classmethod
    def receive(
        cls,
        timeout: float | None = 3600,
        poll_interval: float = 10,
        raise_timeout_error: bool = False,
        exclude_keys: Collection[str] | None = None,
        key_prefix: str | None = None,
        flow_run_id: UUID | str | None = None,
    ) -> Receiver[Self]:
        """Yield inputs of this type that were sent to this flow run, oldest first, as `receive_input` does.

        - `timeout`, `poll_interval`: for how many seconds to wait for the next one (default: an hour), and how often to
          ask.
        - `raise_timeout_error`: with `True`, a loop raises `TimeoutError` after the timeout instead of ending.
        - `exclude_keys`: keys of inputs to pass over.
        - `key_prefix`: the name that the senders used; by default that of the type.
        - `flow_run_id`: receive inputs sent to this run in place of the current one.
        """
        from orionflow.input.passing import receive_input

        return receive_input(cls, timeout, poll_interval, raise_timeout_error, exclude_keys, key_prefix, flow_run_id)


def _field(model: type[BaseModel], name: str, value: Any) -> tuple[Any, Any]:
    known = model.model_fields.get(name)
    if known is None:
        return type(value), value
    annotation: Any = known.annotation
    for one in known.metadata:
        annotation = Annotated[annotation, one]
    return annotation, Field(default=value, title=known.title, description=known.description)
