"""A flow run that exists: the state that its attempts share, and how it is ended from outside."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from orionflow.calls.flow_runs import set_flow_run_state
from orionflow.client.transport import Patience
from orionflow.context import FlowRunContext
from orionflow.contract.ids import uuid7
from orionflow.engine.api import Api
from orionflow.engine.children import abandon_children
from orionflow.engine.crashes import seconds_for_reports
from orionflow.engine.event_loops import running_loop
from orionflow.engine.interruption import Reason
from orionflow.engine.kept_ends import NOT_REPORTED, keep_for
from orionflow.engine.recorded import Recorded
from orionflow.engine.reuse import Inputs
from orionflow.errors import ApiError, ApiUnreachable
from orionflow.flows import Flow
from orionflow.logging import RunLogger, logger_for_flow_run
from orionflow.reporting import Answer
from orionflow.settings import current_settings
from orionflow.states import Cancelled, Crashed, State
from orionflow.values.enclosed import Enclosed
from orionflow.wire import FlowRun

# For a run that is ended by another thread than its own.
SHORT_SECONDS = 2.0


class ActiveFlowRun:
    """A flow run that exists, with everything that its attempts need; the counterpart of `TaskCall` for task runs."""

    def __init__(
        self,
        flow: Flow[Any, Any],
        flow_run: FlowRun,
        parameters: dict[str, Any],
        api: Api,
        parent: FlowRunContext | None,
        *,
        is_made_here: bool = True,
        recorded: Recorded | None = None,
    ) -> None:
        self.flow = flow
        self.flow_run = flow_run
        self.attempt = flow_run.run_count
        # Whether this call created the run, so that no other process reports its end.
        self.is_made_here = is_made_here
        self.parameters = parameters
        self.api = api
        self.parent = parent
        self.recorded = recorded
        # The context of the current attempt.
        self.context: FlowRunContext | None = None
        self.is_abandoned = False
        # A final state that was proposed and not answered yet. By its id, the API recognizes a repetition.
        self.proposed_end: State[Any] | None = None
        # Whether the API knows the end of the run, or the reporter keeps it, or another attempt reports it.
        self.has_reported_end = False
        self.enclosed = Enclosed()
        # The inputs before the call, for a parent that may reuse the value.
        self.compared: Inputs | None = None
        # The outcome of an attempt whose value could not be stored; the next attempt only stores it.
        self.unstored: State[Any] | None = None
        self.logger: RunLogger = logger_for_flow_run(flow_run.id, flow_run.name or "", flow.name)

    @property
    def name(self) -> str:
        return self.flow_run.name or self.flow.name

    def abandon(self, reason: Reason) -> None:
        """Record a final state for a run that does not report one itself; later reports of the run are dropped.

        A run that is reporting its end may be stuck in that, and this process may be killed: unless the end is already
        kept, it is kept here, as the proposal that is under way, if there is one.
        """
        self.is_abandoned = True
        if self.context is not None:
            abandon_children(self.context, reason)
        if self.has_reported_end:
            return
        ended = Cancelled if reason.is_cancel else Crashed
        # The run may propose an end from now on, too: both propose the same one.
        state = self.proposed_end = self.proposed_end or ended(message=reason.message, id=uuid7())
        seconds = min(SHORT_SECONDS, seconds_for_reports())
        if not self.is_made_here:
            self._send_end(state, seconds)
            return
        self.has_reported_end = True
        verdict = self._keep_end(state, seconds)
        if verdict is not None and verdict.state is not None and verdict.state.is_cancelling():
            # The rules accept only CANCELLED now.
            self._keep_end(Cancelled(message="The flow run was cancelled."), seconds)

    def _keep_end(self, state: State[Any], seconds: float) -> Answer | None:
        return keep_for(seconds, self.id, state, datetime.now(UTC), reporter=self.api.reporter, logger=self.logger)

    def _send_end(self, state: State[Any], seconds: float) -> None:
        try:
            with suppress(ApiUnreachable):
                self.api.reporter.drain(self.id, seconds)
            self.api.client.send(set_flow_run_state(self.id, state), patience=Patience(budget_seconds=seconds))
        except ApiError as trouble:
            # The agent that gave the run to this process reports that it ended.
            self.logger.error(NOT_REPORTED, state.name, trouble)
        else:
            self.has_reported_end = True

    def rename(self, name: str | None) -> None:
        self.flow_run = self.flow_run.model_copy(update={"name": name})
        self.logger = logger_for_flow_run(self.id, name or "", self.flow.name)

    @property
    def id(self) -> UUID:
        return self.flow_run.id

    @property
    def log_prints(self) -> bool:
        if self.flow.log_prints is not None:
            return self.flow.log_prints
        return self.parent.log_prints if self.parent else current_settings().logging_log_prints

    def count_attempt(self) -> None:
        """Count one more attempt, which the rules have accepted. A pause in the previous one raised `run_count` too."""
        starts = self.context.flow_run.run_count if self.context is not None else self.flow_run.run_count
        self.flow_run = self.flow_run.model_copy(update={"run_count": starts + 1})
        self.attempt += 1

    def new_context(self) -> FlowRunContext:
        """Return the context of the next attempt, which counts calls from zero so that it finds their earlier runs."""
        return FlowRunContext(
            flow=self.flow,
            flow_run=self.flow_run,
            attempt=self.attempt,
            parameters=self.parameters,
            api=self.api,
            task_runner=self.flow.task_runner.duplicate(),
            parent=self.parent,
            log_prints=self.log_prints,
            loop=running_loop() if self.flow.is_async else None,
            enclosed=self.enclosed,
            recorded=self.recorded,
        )
