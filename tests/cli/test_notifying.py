"""`orion notify`, `automation`, `block create`, `event` and `artifact`, with a receiver on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import companion, run_orion
from tests.events.receiver import Receiver, receiving

FLOWS = """
from orionflow import create_link_artifact, create_table_artifact, flow


@flow
def etl(fails: bool = False):
    if fails:
        raise RuntimeError("boom")
    create_table_artifact([{"city": "Berlin", "n": 1}, {"city": "Rome"}], key="cities", description="By city")
    create_link_artifact("https://example.org/report", "the report", key="report")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watched")
    (folder / "flows.py").write_text(FLOWS)
    return folder


@pytest.fixture(scope="module")
def session(folder):
    with companion(folder / "home", cwd=folder, ORION_WEBHOOK_ALLOW="127.0.0.1") as orion:
        yield orion


@pytest.fixture
def receiver():
    with receiving() as one:
        yield one


@pytest.fixture
def orion(session):
    """Without notifications, automations and blocks of other tests."""
    for kind in ("notify", "automation"):
        if names := [one["id"] for one in json.loads(session(kind, "ls", "-o", "json").out)]:
            session(kind, "delete", *names, "--yes")
    for one in json.loads(session("block", "ls", "-o", "json").out):
        session("block", "delete", f"{one['block_type']['slug']}/{one['name']}", "--yes")
    return session


def listed(orion, *words):
    return json.loads(orion(*words, "-o", "json").out)


@pytest.mark.parametrize(
    ("kind", "path", "more"),
    [
        ("slack", "/services/T/B/x", ()),
        ("teams", "/workflows/1", ()),
        ("webhook", "/hook", ()),
        ("custom", "/any", ("--set", 'json_data={"text": "{{body}}"}', "--set", "method=POST")),
    ],
)
def test_a_notification_is_created_and_its_test_message_really_arrives(orion, receiver: Receiver, kind, path, more):
    made = orion("notify", "create", kind, receiver.url + path, "--name", "ops", *more)
    tested = orion("notify", "test", "ops")

    assert made.code == 0, made.err
    assert "Created the notification ops: failed, crashed, to " in made.out
    assert "orion notify test ops" in made.err
    assert (tested.code, tested.out) == (0, "The test message was accepted.\n")
    assert [one["path"] for one in receiver.got] == [path]
    assert receiver.url not in made.out + made.err + tested.out


def test_a_failed_test_message_shows_the_answer(orion, receiver: Receiver):
    receiver.status = 403
    orion("notify", "create", "slack", receiver.url, "--name", "ops")

    tested = orion("notify", "test", "ops")

    assert tested.code == 1
    assert "127.0.0.1 answered 403" in tested.err


def test_a_block_is_tried_before_anything_uses_it(orion, receiver: Receiver):
    orion("block", "create", "slack-webhook/team", f"url={receiver.url}/T1")

    assert orion("notify", "test", "slack-webhook/team").code == 0
    assert receiver.got[0]["path"] == "/T1"


def test_notifications_are_listed_with_their_states_runs_and_receivers(orion, folder, receiver: Receiver):
    (folder / "orion.yaml").write_text("deployments: [{name: prod, entrypoint: 'flows.py:etl'}]")
    orion("deploy")
    orion("block", "create", "slack-webhook/team", f"url={receiver.url}")
    to = ("--block", "slack-webhook/team")
    orion("notify", "create", *to, "--name", "a", "--on", "failed,late", "--flow", "etl", "--tag", "x", "--tag", "y")
    orion("notify", "create", *to, "--name", "b", "--on", "any", "--deployment", "etl/prod")

    table = orion("notify", "ls").out
    rows = {one["name"]: one for one in listed(orion, "notify", "ls")}

    assert "failed, Late" in table
    assert "of etl, tagged x or y" in table
    assert "of etl/prod" in table
    assert table.count("slack-webhook/team") == 2
    assert (rows["a"]["state_types"], rows["a"]["state_names"]) == (["FAILED"], ["Late"])
    assert "state_types" not in rows["b"]
    assert orion("notify", "inspect", "b").code == 0


def test_runs_that_fail_are_reported_and_the_log_shows_each_attempt(orion, receiver: Receiver):
    orion("notify", "create", "slack", receiver.url, "--name", "ops", "--flow", "etl")
    orion("run", "flows.py:etl", "-p", "fails=true", "--name", "bad")
    orion("run", "flows.py:etl", "--name", "good")
    receiver.status = 500
    orion("notify", "test", "ops")

    log = listed(orion, "notify", "log", "ops")
    table = orion("notify", "log", "ops").out
    failed = listed(orion, "notify", "log", "--failed")

    assert [one["standing"] for one in log] == ["GIVEN_UP", "WAITING"]
    assert "etl / bad is Failed" in log[1]["body"]
    assert "1 of 1" in table
    assert "answered 500" in table
    assert "not tried yet" in table
    assert len(failed) == 2


def test_notifications_are_paused_resumed_and_deleted(orion, receiver: Receiver):
    orion("notify", "create", "slack", receiver.url, "--name", "ops")

    paused = orion("notify", "pause", "ops")
    orion("run", "flows.py:etl", "-p", "fails=true")
    still = listed(orion, "notify", "ls")
    resumed, planned = orion("notify", "resume", "ops"), orion("notify", "rm", "ops", "--dry-run")
    refused, gone = orion("notify", "rm", "ops"), orion("notify", "rm", "ops", "--yes")

    assert paused.out == "ops is paused.\n"
    assert still[0]["is_active"] is False
    assert listed(orion, "notify", "log") == []
    assert (resumed.code, planned.code, refused.code, gone.code) == (0, 0, 2, 0)
    assert listed(orion, "notify", "ls") == []
    assert listed(orion, "block", "ls") != []


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (("slak", "http://h"), 2, "did you mean slack"),
        (("slack", "ftp://h"), 2, "does not begin with http"),
        (("slack", "http://h", "--on", "faild"), 2, "did you mean failed"),
        (("discord", "http://h/nothing"), 2, "/api/webhooks/ID/TOKEN"),
        (("mattermost", "http://h/nothing"), 2, "/hooks/TOKEN"),
        (("mail", "key"), 2, "needs sender_email, to_emails"),
        (("slack", "http://h", "--message", "{colour}"), 2, "colour"),
        (("slack", "http://h", "--deployment", "etl/nowhere"), 5, "no deployment"),
        (("--block", "slack-webhook/nobody"), 5, "no block"),
        (("--block", "string/text"), 2, "only blocks of these types"),
        ((), 2, "--block"),
    ],
)
def test_invalid_objects_are_refused_and_nothing_is_left(orion, words, code, expected):
    orion("block", "create", "string/text", "value=x")

    answer = orion("notify", "create", *words)

    assert answer.code == code
    assert expected in answer.err
    assert listed(orion, "notify", "ls") == []


def test_an_address_comes_from_stdin_so_that_no_shell_remembers_it(tmp_path, receiver: Receiver):
    home = tmp_path / "home"
    nothing = run_orion(home, "notify", "create", "slack", "--name", "ops")
    made = run_orion(home, "notify", "create", "slack", "--name", "ops", stdin=f"{receiver.url}/T1\n")
    tested = run_orion(home, "notify", "test", "ops", ORION_WEBHOOK_ALLOW="127.0.0.1")

    assert (nothing.code, made.code, tested.code) == (2, 0, 0)
    assert "none was given" in nothing.err
    assert receiver.got[0]["path"] == "/T1"


def test_a_name_is_given_once(orion, receiver: Receiver):
    first, second = (orion("notify", "create", "slack", receiver.url) for _ in range(2))
    again = orion("notify", "create", "slack", receiver.url, "--name", "slack")

    assert (first.code, second.code, again.code) == (0, 0, 6)
    assert [one["name"] for one in listed(orion, "notify", "ls")] == ["slack", "slack-2"]


def test_an_automation_is_created_by_options_and_described(orion, receiver: Receiver):
    orion("block", "create", "slack-webhook/team", f"url={receiver.url}")
    made = [
        orion("automation", "create", "hung", "--stuck-in", "running", "--for", "1h", "--cancel"),
        orion(
            "automation", "create", "alarm", "--on", "failed,crashed", "--count", "3", "--within", "10m",
            "--notify", "slack-webhook/team",
        ),
        orion("automation", "create", "paid", "--event", "shop.*", "--webhook", "slack-webhook/team", "--paused"),
    ]  # fmt: skip

    table = orion("automation", "ls").out
    stored = {one["name"]: one for one in listed(orion, "automation", "ls")}

    assert [one.code for one in made] == [0, 0, 0], [one.err for one in made]
    assert "3 of flow-run is failed, crashed in 10m" in table
    assert "after flow-run.Running" in table
    assert "cancel-flow-run" in table
    assert stored["paid"]["enabled"] is False
    assert stored["hung"]["trigger"]["posture"] == "Proactive"
    assert stored["hung"]["trigger"]["within"] == 3600


def test_an_automation_is_created_from_a_file_and_again_from_what_it_prints(orion, folder: Path):
    text = "name: mine\ntrigger: {type: event, posture: Reactive, expect: [a.b]}\nactions: [{type: do-nothing}]\n"
    (folder / "mine.yaml").write_text(text)
    first = orion("automation", "create", "-f", "mine.yaml")
    twice = orion("automation", "create", "-f", "mine.yaml")
    orion("automation", "create", "-f", "mine.yaml", "--description", "why", "--overwrite")
    described = json.loads(orion("automation", "inspect", "mine", "-o", "json").out)
    over = orion("automation", "create", "-f", "mine.yaml", "--overwrite")
    again = json.loads(orion("automation", "inspect", "mine", "-o", "json").out)
    (folder / "many.json").write_text(json.dumps({"automations": [{"name": "x"}]}))
    wrong = orion("automation", "create", "-f", "many.json")

    assert (first.code, twice.code, over.code, wrong.code) == (0, 6, 0, 2)
    assert (described["description"], again["description"]) == ("why", "")
    assert "trigger" in wrong.err
    assert len(listed(orion, "automation", "ls")) == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("x", "--on", "failed"), "Say what to do"),
        (("x", "--cancel"), "Say when"),
        (("x", "--stuck-in", "running", "--cancel"), "--for belong together"),
        (("x", "--on", "failed", "--event", "a", "--cancel"), "with one of"),
        (("x", "--on", "failed", "--count", "3", "--cancel"), "--within"),
        (("x", "--on", "failed", "--cancel", "--message", "a"), "--message belongs to --notify"),
        (("x", "-f", "mine.yaml", "--cancel"), "leave out"),
        (("--on", "failed", "--cancel"), "Name the automation"),
    ],
)
def test_an_automation_that_is_not_described_is_refused(orion, words, expected):
    answer = orion("automation", "create", *words)

    assert answer.code == 2
    assert expected in answer.err


def test_an_automation_is_tried_paused_logged_and_deleted(orion, receiver: Receiver):
    orion("block", "create", "slack-webhook/team", f"url={receiver.url}")
    orion("automation", "create", "alarm", "--on", "failed", "--notify", "slack-webhook/team", "--cancel")
    orion("run", "flows.py:etl", "-p", "fails=true", "--name", "bad")

    tried = orion("automation", "test", "alarm")
    log, messages = orion("automation", "log", "alarm"), orion("automation", "log", "alarm", "--messages")
    paused, resumed = orion("automation", "pause", "alarm"), orion("automation", "resume", "alarm")
    gone = orion("automation", "delete", "alarm", "--yes")

    assert tried.code == 0, tried.err
    assert "bad is Failed" in receiver.got[0]["content"]["text"]
    assert "would be done" in tried.out
    assert "Nothing was done yet." in log.err
    assert "accepted: 200" in messages.out
    assert (paused.out, resumed.out, gone.code) == ("alarm is paused.\n", "alarm is active again.\n", 0)
    assert orion("automation", "inspect", "alrm").code == 5


def test_blocks_are_created_from_files_and_fields_and_their_secrets_stay_masked(orion, folder: Path):
    (folder / "mail.json").write_text(
        json.dumps({"api_key": "k", "sender_email": "a@example.org", "to_emails": ["b@example.org"]})
    )
    made = orion("block", "create", "sendgrid-email/ops", "--values", "@mail.json")
    twice = orion("block", "create", "sendgrid-email/ops", "--values", "@mail.json")
    over = orion("block", "create", "sendgrid-email/ops", "--values", "@mail.json", "--overwrite")
    shown = orion("block", "inspect", "sendgrid-email/ops").out

    assert (made.code, twice.code, over.code) == (0, 6, 0)
    assert "********" in shown
    assert "b@example.org" in shown


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (("slak-webhook/x",), 5, "did you mean slack-webhook"),
        (("slack-webhook",), 2, "TYPE/NAME"),
        (("slack-webhook/x", "ulr=a"), 2, "did you mean url"),
        (("slack-webhook/x",), 2, "needs url"),
        (("slack-webhook/x", "--values", "@nowhere.json"), 5, "no file"),
    ],
)
def test_blocks_that_cannot_be_created_are_explained(orion, words, code, expected):
    answer = orion("block", "create", *words)

    assert answer.code == code
    assert expected in answer.err


def test_custom_types_are_registered_shown_and_deleted(orion, folder: Path):
    given = {"slug": "login", "fields": {"properties": {"user": {}, "password": {}}, "secret_fields": ["password"]}}
    (folder / "login.json").write_text(json.dumps(given))

    made = orion("block", "register", "login.json")
    filled = orion("block", "create", "login/db", "user=ada", "password=x")
    shown, schemas = (
        orion("block", "type", "inspect", "login"),
        listed(orion, "block", "schema", "ls", "--type", "login"),
    )
    masked = listed(orion, "block", "inspect", "login/db")["data"]
    gone = orion("block", "type", "delete", "login", "--yes")

    assert (made.code, filled.code, shown.code, gone.code) == (0, 0, 0, 0), made.err + filled.err
    assert "password" in shown.out
    assert len(schemas) == 1
    assert masked == {"user": "ada", "password": "********"}


def test_events_are_emitted_listed_and_streamed(orion):
    emitted = orion(
        "event", "emit", "shop.paid", "--resource", "order.17", "--label", "city=Rome", "--payload", '{"n": 1}'
    )
    orion("event", "emit", "shop.sent", "--resource", "order.18", "--related", "customer=ada")

    named = listed(orion, "event", "ls", "--name", "shop.*", "--since", "-1h")
    of_one = listed(orion, "event", "ls", "--resource", "order.17")
    streamed = orion("event", "stream", "--timeout", "0s")
    wrong = orion("event", "emit", "x", "--resource", "r", "--label", "nothing")

    assert (emitted.code, emitted.out) == (0, "Reported shop.paid of order.17.\n")
    assert [one["event"] for one in named[:2]] == ["shop.sent", "shop.paid"]
    assert of_one[0]["resource"]["city"] == "Rome"
    assert of_one[0]["payload"] == {"n": 1}
    assert "customer ada" in orion("event", "ls").out
    assert (streamed.code, wrong.code) == (0, 2)


def test_artifacts_are_listed_shown_as_tables_and_deleted(orion):
    orion("run", "flows.py:etl", "--name", "left")

    newest, everything = orion("artifact", "ls"), listed(orion, "artifact", "ls", "--run", "@last")
    table, link = orion("artifact", "inspect", "cities"), orion("artifact", "inspect", "report")
    missing = orion("artifact", "inspect", "citis")
    gone = orion("artifact", "delete", "report", "--yes")

    assert "cities" in newest.out
    assert len(everything) == 2
    assert ["Berlin", "1"] in [line.split() for line in table.out.splitlines()]
    assert "[the report](https://example.org/report)" in link.out
    assert (missing.code, gone.code) == (5, 0)
    assert "did you mean cities?" in missing.err


def test_more_events_than_a_page_holds_are_listed(orion):
    for number in range(60):
        orion("event", "emit", "many.one", "--resource", f"thing.{number}")

    assert len(listed(orion, "event", "ls", "--name", "many.one", "--limit", "100")) == 60
    assert len(listed(orion, "event", "ls", "--name", "many.one", "--limit", "55")) == 55
