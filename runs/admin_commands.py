"""Commands of operators on flow runs and task runs: the services of the API, with labels and messages."""

from __future__ import annotations

from typing import Any

from django import forms

from deployments.dispatch.hint_sender import is_configured
from deployments.dispatch.services.hints import hint_again
from orchestration.core.states import State, StateType
from orchestration.services import propose_flow_run_state, propose_task_run_state
from orion_site.accounts.permissions import Action
from orion_site.operators.commands import Command, Submission
from runs.flow_runs.commands import cancel_flow_run, resume_flow_run, retry_flow_run, why_left_out
from runs.flow_runs.services import delete_flow_run
from runs.inputs.selectors import pause_of

# RUNNING is missing: no process would execute a run that is forced into it.
FORCED = [
    StateType.CANCELLED,
    StateType.FAILED,
    StateType.CRASHED,
    StateType.COMPLETED,
]


class ForceForm(forms.Form):
    """The state that a run is forced into, and the reason, which becomes the message of the state."""

    state = forms.ChoiceField(choices=[(one.value, one.value.capitalize()) for one in FORCED])
    reason = forms.CharField(
        max_length=1000, help_text="Stored as the message of the state, with your name.", widget=forms.TextInput()
    )


def _cancel(row: Any, submission: Submission) -> str:
    return cancel_flow_run(run_id=row.pk, now=submission.now, author=submission.author).refusal


def _retry(row: Any, submission: Submission) -> str:
    return why_left_out(row) or retry_flow_run(run_id=row.pk, now=submission.now, author=submission.author).refusal


def _resume(row: Any, submission: Submission) -> str:
    refusal = resume_flow_run(run_id=row.pk, run_input=None, now=submission.now, author=submission.author).refusal
    pause = pause_of(row) if refusal else None
    return "it waits for input; answer it on its page" if pause and pause.wanted else refusal


def _hint(row: Any, submission: Submission) -> str:
    if reason := _why_no_hint(row, submission):
        return reason
    is_sent = hint_again(run_id=row.pk, now=submission.now)
    return "" if is_sent else "it is waiting no longer, or the line to the broker is full"


def _why_no_hint(row: Any, submission: Submission) -> str:
    if not is_configured():
        return "this server has no broker: agents ask for runs by themselves"
    if row.state_type != StateType.SCHEDULED or row.work_queue_id is None:
        return "it waits in no queue"
    due = row.next_scheduled_start_time
    return f"it is due only at {due:%Y-%m-%d %H:%M:%S} UTC" if due and due > submission.now else ""


def _delete(row: Any, submission: Submission) -> str:
    delete_flow_run(run_id=row.pk, now=submission.now)
    return ""


def _forced(submission: Submission) -> State:
    return State(type=StateType(submission.values["state"]), message=submission.values["reason"])


def _force_flow_run(row: Any, submission: Submission) -> str:
    return propose_flow_run_state(
        run_id=row.pk, proposed=_forced(submission), now=submission.now, force=True, author=submission.author
    ).refusal


def _force_task_run(row: Any, submission: Submission) -> str:
    return propose_task_run_state(
        run_id=row.pk, proposed=_forced(submission), now=submission.now, force=True, author=submission.author
    ).refusal


FORCE = "Force a state on"
FORCE_EXPLAINED = (
    "The state is written without asking the rules, with your reason and your name in the history. Slots and leases "
    "are released; reports of a process that still works on the run are refused."
)
ON_FLOW_RUNS = (
    Command(
        name="cancel",
        label="Cancel",
        needs=Action.CHANGE_RUNS,
        explanation="Runs that have not started are cancelled at once; running ones are asked to stop.",
        done="cancelled, or asked to stop",
        do=_cancel,
    ),
    Command(
        name="retry",
        label="Retry",
        needs=Action.CHANGE_RUNS,
        explanation="Failed and crashed runs of deployments are scheduled again, due now; an agent starts them.",
        done="due again",
        do=_retry,
    ),
    Command(
        name="resume",
        label="Resume",
        needs=Action.CHANGE_RUNS,
        explanation="Paused runs continue. Those that wait for input are listed with links to their pages, where it is "
        "filled in.",
        done="resumed",
        do=_resume,
        page="runs:run",
    ),
    Command(
        name="hint",
        label="Send agents a hint about",
        needs=Action.CHANGE_RUNS,
        explanation="Agents are sent the ids of these due runs again, in case a broker lost the messages.",
        done="sent to their agents",
        do=_hint,
        judge=_why_no_hint,
    ),
    Command(
        name="force",
        label=FORCE,
        needs=Action.CHANGE_RUNS,
        explanation=FORCE_EXPLAINED,
        done="in that state",
        do=_force_flow_run,
        form=ForceForm,
    ),
    Command(
        name="delete",
        label="Delete",
        needs=Action.CHANGE_RUNS,
        explanation="The runs, their task runs, logs and history are deleted. This cannot be undone. Runs nested in "
        "them stay.",
        done="deleted",
        do=_delete,
        judge=lambda row, submission: "",
        is_deletion=True,
    ),
)
ON_TASK_RUNS = (
    Command(
        name="force",
        label=FORCE,
        needs=Action.CHANGE_RUNS,
        explanation=FORCE_EXPLAINED,
        done="in that state",
        do=_force_task_run,
        form=ForceForm,
    ),
)
