"""`orion notify`, except `create`: notifications, the log of their messages, and test messages."""

from __future__ import annotations

from collections.abc import Sequence

import click

from orionflow.calls.deployments import DEPLOYMENTS
from orionflow.calls.events import NOTIFICATION_POLICIES, NOTIFICATIONS, try_notification
from orionflow.cli.backend import Backend, Json
from orionflow.cli.columns import ID, Col, Columns, absolute, ago, took, yes_or
from orionflow.cli.deployment.resource import full_names
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.lookup import by_name_or_id
from orionflow.cli.notify.receivers import block_names, receiver_block
from orionflow.cli.output import Column
from orionflow.cli.query import states_text
from orionflow.cli.resource import Resource
from orionflow.cli.session import Session, command, limit_option, with_params
from orionflow.cli.style import counted, first_line, painted

# The delivery status of a message as a word, and the state whose colour it has.
STANDINGS = {"SENT": ("sent", "COMPLETED"), "WAITING": ("waits", "SCHEDULED"), "GIVEN_UP": ("given up", "FAILED")}
UNSENT = {"any_": ["GIVEN_UP", "WAITING"]}
FAILED = click.Option(["--failed"], is_flag=True, help="Only messages that were given up, or wait for another attempt.")


def _find(session: Session, wanted: str) -> Json:
    return by_name_or_id("notification", wanted, all_notifications(session.api), command="orion notify ls")


def all_notifications(api: Backend) -> list[Json]:
    return list(api.pages(NOTIFICATION_POLICIES, {}, None))


def _title(policy: Json) -> str:
    return str(policy.get("name") or policy["id"])


def _columns(session: Session, policies: Sequence[Json]) -> Columns:
    blocks = block_names(session.api, [one["block_document_id"] for one in policies])
    deployments = _deployment_names(session.api, [id for one in policies for id in one.get("deployment_ids") or ()])
    return [
        Col("NAME", "name", row=_title),
        Column("ON", lambda one: states_text(one.get("state_types") or (), one["state_names"]), field="state_types"),
        Col("RUNS", row=lambda one: _runs_text(one, deployments), field="tags"),
        Col("TO", row=lambda one: blocks.get(one["block_document_id"], "-"), field="block_document_id"),
        Col("ACTIVE", "is_active", yes_or("paused")),
        ID,
    ]


def _deployment_names(api: Backend, ids: Sequence[str]) -> dict[str, str]:
    wanted = sorted(set(ids))
    found = list(api.pages(DEPLOYMENTS, {"deployments": {"id": {"any_": wanted}}}, None)) if wanted else []
    return full_names(api, found)


def _runs_text(policy: Json, deployments: dict[str, str]) -> str:
    parts = []
    if flows := policy.get("flow_names"):
        parts.append(f"of {', '.join(flows)}")
    if ids := policy.get("deployment_ids"):
        parts.append(f"of {', '.join(deployments.get(id, f'{id} (deleted)') for id in ids)}")
    if policy["tags"]:
        parts.append(f"tagged {' or '.join(policy['tags'])}")
    return ", ".join(parts) or "all"


def _fields(session: Session, found: Json) -> Columns:
    return [
        *NOTIFICATION.titled(session, found),
        Col("message", row=lambda one: one["message_template"] or "the usual one"),
        Col("created", "created", absolute),
    ]


NOTIFICATION = Resource(
    "notification", NOTIFICATION_POLICIES, _columns, metavar="NOTIFICATION", find=_find, title=_title, times=False,
)  # fmt: skip
ls = NOTIFICATION.ls(
    "List notifications: in which states, of which runs, to whom.",
    "orion notify ls",
    ("orion notify ls -o json", "the API's objects"),
    empty="No notifications; make one with orion notify create slack",
)
inspect = NOTIFICATION.inspect(
    "Show one notification: its states, its runs, its receiver and its message.",
    "orion notify inspect ops",
    "orion notify show ops -o json",
    fields=_fields,
    times=True,
)
pause = NOTIFICATION.change(
    "Pause notifications. States that runs enter while they are paused are not reported later.",
    ("orion notify pause ops", "during a maintenance"),
    changes={"is_active": False},
    done="is paused",
    many=True,
)
resume = NOTIFICATION.change(
    "Resume notifications.",
    "orion notify resume ops",
    changes={"is_active": True},
    done="is active again",
    many=True,
)
delete = NOTIFICATION.delete(
    "Delete notifications with their log. Messages that wait are not sent; their blocks stay.",
    ("orion notify delete ops --dry-run", "only say which"),
    "orion notify rm ops --yes",
    many=True,
)


@command(
    ("orion notify test ops", "the message of a notification, about a made-up run"),
    ("orion notify test slack-webhook/team", "a block, before anything uses it"),
)
@click.argument("wanted", metavar="NOTIFICATION|TYPE/NAME")
def test(session: Session, wanted: str) -> None:
    """Send a test message once, and show the answer of the receiver."""
    if "/" in wanted:
        send_test(session, {"block_document_id": receiver_block(session, wanted)["id"]})
    else:
        send_test(session, {"policy_id": _find(session, wanted)["id"]})


def send_test(session: Session, to: Json) -> None:
    """Send a test message; if it is not accepted, exit 1 with the receiver's answer."""
    sent: Json = session.api.ask(try_notification(to))
    outcome = sent["attempts"][-1]["outcome"] if sent["attempts"] else "nothing was sent"
    if not session.for_people:
        session.show_one(sent, name="id")
    if sent["standing"] != "SENT":
        raise CommandFailed(ExitCode.FAILED, "The test message did not arrive.", outcome, "orion notify log")
    if session.for_people:
        session.announce(f"The test message was accepted{' in its short form' if sent['is_short'] else ''}.")


@command(
    ("orion notify log", "the newest messages, attempt by attempt"),
    ("orion notify log ops --failed", "what did not arrive"),
    ("orion notify log -o json", "with their whole texts"),
    times=True,
)
@click.argument("name", metavar="[NOTIFICATION]", required=False)
@with_params(FAILED, limit_option(20, help="Show at most this many messages."))
def log(session: Session, name: str | None, failed: bool, limit: int) -> None:
    """Show the newest messages with each attempt to deliver them. They are kept for a week."""
    asked: Json = {"policy_id": {"any_": [_find(session, name)["id"]]}} if name else {}
    show_log(session, {**asked, **({"standing": UNSENT} if failed else {})}, limit)


def show_log(session: Session, asked: Json, limit: int) -> None:
    """Show messages in the API's form, or a table with a line for each attempt."""
    found = list(session.api.pages(NOTIFICATIONS, {"notifications": asked} if asked else {}, limit))
    if not session.shows_columns:
        session.show_list(found, [], name="id")
        return
    blocks = block_names(session.api, [one["block_document_id"] for one in found])
    rows = [row for one in found for row in _rows(one, blocks)]
    session.show_list(rows, _log_columns(session), empty="No messages.", name="id")
    if session.for_people and (waiting := sum(one["standing"] == "WAITING" for one in found)):
        session.note(f"{counted(waiting, 'message')} still to be delivered.")


def _rows(message: Json, blocks: dict[str, str]) -> list[Json]:
    """Return one row for each attempt; for a message without attempts, one row that says since when it waits."""
    shared = {"id": message["id"], "to": blocks.get(message["block_document_id"], "-"), "run": message["flow_run_id"]}
    shared["about"] = first_line(next((line for line in message["body"].splitlines() if line.strip()), ""), 60)
    tries = message["attempts"]
    if not tries:
        return [{**shared, "at": message["created"], "standing": "WAITING", "attempt": "-"}]
    return [
        {
            **shared,
            **one,
            "attempt": f"{number} of {len(tries)}",
            "standing": message["standing"] if number == len(tries) else "WAITING",
        }
        for number, one in enumerate(tries, start=1)
    ]


def _log_columns(session: Session) -> Columns:
    def standing(row: Json) -> str:
        return STANDINGS.get(row["standing"], (row["standing"], ""))[0]

    def paint(text: str, row: Json) -> str:
        return painted(text, STANDINGS.get(row["standing"], ("", ""))[1])

    return [
        Col("WHEN", "at", ago),
        Col("TO", "to"),
        Col("ATTEMPT", "attempt"),
        Column("STATUS", standing, field="standing", paint=paint),
        Col("OUTCOME", "outcome", row=lambda row: row.get("outcome") or "not tried yet"),
        Col("ABOUT", "about"),
        Col("TOOK", "seconds", took, wide=True),
        Col("RUN", "run", wide=True),
        ID,
    ]
