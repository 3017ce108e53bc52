"""Notification policies: what is queued with a state, and what the sender makes of it."""

from __future__ import annotations

import json

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from events.models import Notification
from events.notifications.core.delivering import FAILURES_THAT_OPEN, MOST_ATTEMPTS
from events.notifications.core.messages import delivery_of
from events.notifications.core.receivers import Message
from events.notifications.services.notifications import send_notifications
from orchestration.services import propose_flow_run_state
from orionflow.contract.masking import MASK, known
from tests.events.rows import make_block, make_policy
from tests.factories import NOON, later, make_flow, make_flow_run, make_state, make_task_run

pytestmark = pytest.mark.django_db

SECRET = "hunter2-<Zk93>kfj20dk"


def slack(receiver):
    return make_block("slack-webhook", {"url": f"{receiver.url}/T1"})


def test_a_policy_notifies_of_the_states_that_it_names(receiver):
    make_policy(slack(receiver), states=["Completed"])
    run = make_flow_run("RUNNING", flow=make_flow("census"), name="nightly")

    propose_flow_run_state(run_id=run.pk, proposed=make_state("COMPLETED"), now=later())
    sent = send_notifications(later(2))

    assert sent == 1
    assert "Flow run census / nightly is Completed" in receiver.texts[0]
    assert receiver.got[0]["path"] == "/T1"


def test_a_policy_notifies_of_states_that_rules_wrote_in_place_of_the_proposed_one(receiver):
    make_policy(slack(receiver), states=["AwaitingRetry"])
    run = make_flow_run("RUNNING", retries=1)

    propose_flow_run_state(run_id=run.pk, proposed=make_state("FAILED"), now=later())

    assert send_notifications(later(2)) == 1


def test_a_policy_notifies_of_the_first_state_of_a_run(receiver):
    make_policy(slack(receiver), states=["Scheduled"])

    make_flow_run("SCHEDULED")

    assert send_notifications(later()) == 1


@pytest.mark.parametrize(("tags", "expected"), [([], 1), (["b", "c"], 1), (["c"], 0)])
def test_a_policy_notifies_of_runs_with_any_of_its_tags(receiver, tags, expected):
    make_policy(slack(receiver), tags=tags)

    make_flow_run("RUNNING", tags=["a", "b"])

    assert send_notifications(later()) == expected


def test_neither_task_runs_nor_disabled_policies_cause_notifications(receiver):
    make_policy(slack(receiver), is_active=False)
    flow_run = make_flow_run("RUNNING")
    make_policy(slack(receiver))

    make_task_run("RUNNING", flow_run=flow_run)

    assert send_notifications(later()) == 0


def test_a_message_of_the_policy_is_filled_in(receiver):
    template = "{flow_run_name}: {flow_run_state_message} {{as said}} {flow_run_url}"
    make_policy(slack(receiver), message_template=template)

    run = make_flow_run(make_state("FAILED", message="boom {0.__class__}"), name="nightly")
    send_notifications(later())

    expected = f"nightly: boom {{0.__class__}} {{as said}} http://127.0.0.1:4200/runs/{run.pk}"
    assert receiver.got[0]["content"]["text"].endswith(expected)


def test_secrets_in_parameters_are_masked_in_messages_of_policies(receiver):
    make_policy(slack(receiver), message_template="{flow_run_parameters}")
    known.learn([SECRET])

    make_flow_run("RUNNING", parameters={"password": SECRET, "n": 1})

    assert json.loads(Notification.objects.get().body) == {"password": MASK, "n": 1}


def test_a_secret_that_the_writer_of_a_message_did_not_know_is_masked_when_it_is_sent(receiver):
    make_policy(slack(receiver), message_template="{flow_run_parameters}")
    make_block("database", {"password": SECRET}, secret=("password",))
    known.forget()
    make_flow_run("RUNNING", parameters={"password": SECRET})

    send_notifications(later())

    assert receiver.got[0]["content"]["text"].endswith(f'{{"password": "{MASK}"}}')


def test_a_failed_message_is_sent_again_later_under_the_same_id(receiver):
    make_policy(slack(receiver))
    make_flow_run("RUNNING")
    receiver.status = 503

    first = send_notifications(later())
    too_early = send_notifications(later(5))
    receiver.status = 200
    second = send_notifications(later(12))

    assert (first, too_early, second) == (0, 0, 1)
    assert len({one["headers"]["Idempotency-Key"] for one in receiver.got}) == 1
    assert len(receiver.got) == 2


def test_a_refused_message_is_given_up(receiver):
    make_policy(slack(receiver))
    make_flow_run("RUNNING")
    receiver.status = 404

    send_notifications(later())
    send_notifications(later(10_000))

    assert len(receiver.got) == 1
    assert Notification.objects.get().standing == "GIVEN_UP"


def test_attempts_come_to_an_end(receiver):
    make_policy(slack(receiver))
    make_flow_run("RUNNING")
    Notification.objects.update(attempts=MOST_ATTEMPTS - 1)
    receiver.status = 500

    send_notifications(later())

    assert Notification.objects.get().standing == "GIVEN_UP"


def test_a_destination_that_fails_again_and_again_is_left_in_peace(receiver):
    make_policy(slack(receiver))
    for _ in range(FAILURES_THAT_OPEN + 4):
        make_flow_run("RUNNING")
    receiver.status = 500

    send_notifications(later())

    assert len(receiver.got) == FAILURES_THAT_OPEN
    assert Notification.objects.filter(attempts=0, due_at__gt=later()).count() == 4


def test_a_redirect_is_not_followed(receiver):
    make_policy(slack(receiver))
    make_flow_run("RUNNING")
    receiver.status = 302

    send_notifications(later())

    assert [one["path"] for one in receiver.got] == ["/T1"]
    assert "not followed" in Notification.objects.get().last_error


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://0.0.0.0/",
        "http://2130706433/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
    ],
)
def test_addresses_that_are_not_public_are_refused(receiver, settings, url):
    settings.ORION_WEBHOOK_ALLOW = []
    port = receiver.url.rpartition(":")[2]
    make_policy(make_block("slack-webhook", {"url": url.format(port=port)}))
    make_flow_run("RUNNING")

    send_notifications(later())

    stored = Notification.objects.get()
    assert receiver.got == []
    assert stored.standing == "GIVEN_UP"
    assert "ORION_WEBHOOK_ALLOW" in stored.last_error or "http://" in stored.last_error


def test_a_custom_webhook_defines_the_whole_request(receiver):
    content = {
        "name": "pager",
        "url": receiver.url + "/{{ path }}",
        "method": "POST",
        "headers": {"Authorization": "Bearer {{token}}"},
        "json_data": {"text": "{{subject}}: {{body}}", "unknown": "{{other}}"},
        "secrets": {"token": "s3cret", "path": "in"},
    }
    make_policy(make_block("custom-webhook", content, ("secrets.*",)), message_template="hi")
    make_flow_run("RUNNING")

    send_notifications(later())

    got = receiver.got[0]
    assert (got["path"], got["headers"]["Authorization"]) == ("/in", "Bearer s3cret")
    assert got["content"] == {"text": "Flow run notification: hi", "unknown": "{{other}}"}


def test_a_block_that_cannot_carry_messages_is_named(receiver):
    make_policy(make_block("json", {"value": 1}, ()))
    make_flow_run("RUNNING")

    send_notifications(later())

    stored = Notification.objects.get()
    assert (stored.standing, "'json'" in stored.last_error) == ("GIVEN_UP", True)


def test_a_transition_that_was_rolled_back_is_not_notified(receiver):
    make_policy(slack(receiver))

    with transaction.atomic():
        make_flow_run("RUNNING")
        transaction.set_rollback(True)

    assert send_notifications(later()) == 0


def test_old_messages_are_forgotten_once_they_are_done(receiver):
    make_policy(slack(receiver))
    make_flow_run("RUNNING")
    send_notifications(later())

    send_notifications(later(8 * 24 * 3600))

    assert not Notification.objects.exists()


def test_flow_runs_without_subscribers_take_no_additional_queries():
    with CaptureQueriesContext(connection) as asked:
        run = make_flow_run("RUNNING", now=NOON)
        propose_flow_run_state(run_id=run.pk, proposed=make_state("COMPLETED"), now=later())

    asking = [one["sql"] for one in asked if "events_" in one["sql"]]
    assert len(asking) == 2
    assert all("INTO runs_flowrunstate" in sql for sql in asking)


def due_later(seconds: float) -> None:
    Notification.objects.filter(standing="WAITING").update(due_at=later(seconds))


def test_a_broken_webhook_keeps_no_other_of_its_host_waiting(receiver):
    """All webhooks of a chat service have one host."""
    receiver.statuses = {"/broken": 500}
    make_policy(make_block("slack-webhook", {"url": f"{receiver.url}/broken"}))
    for _ in range(FAILURES_THAT_OPEN + 2):
        make_flow_run("RUNNING")
    make_policy(slack(receiver), states=["Completed"])
    make_flow_run("COMPLETED")

    send_notifications(later())

    assert [one["path"] for one in receiver.got].count("/broken") == FAILURES_THAT_OPEN
    assert [one["path"] for one in receiver.got].count("/T1") == 1


def test_after_its_rest_a_destination_is_probed_once_and_then_trusted_again(receiver):
    make_policy(slack(receiver))
    for _ in range(FAILURES_THAT_OPEN + 4):
        make_flow_run("RUNNING")
    receiver.status = 500
    send_notifications(later())

    due_later(100)
    send_notifications(later(100))
    probed = len(receiver.got) - FAILURES_THAT_OPEN
    receiver.status = 200
    due_later(200)
    sent = send_notifications(later(200))

    assert probed == 1
    assert sent == FAILURES_THAT_OPEN + 4


def test_a_message_that_its_receiver_cannot_take_does_not_delay_others(receiver):
    receiver.refuse = "poison"
    make_policy(slack(receiver))
    make_flow_run("RUNNING", name="poison")
    for _ in range(3):
        send_notifications(later())
        due_later(1)
    for number in range(3):
        make_flow_run("RUNNING", name=f"fine-{number}")

    due_later(100)
    send_notifications(later(100))

    assert Notification.objects.filter(standing="SENT").count() == 3


def test_a_message_that_can_never_be_sent_is_given_up_and_not_counted(receiver):
    block = {"url": receiver.url, "method": "POST", "headers": {"X-Bad": "a\r\nb"}, "json_data": {}}
    make_policy(make_block("custom-webhook", block, ()))
    for _ in range(FAILURES_THAT_OPEN + 2):
        make_flow_run("RUNNING")

    send_notifications(later())

    assert set(Notification.objects.values_list("standing", "attempts")) == {("GIVEN_UP", 1)}
    assert receiver.got == []


@pytest.mark.parametrize(
    "content",
    [
        {"url": "http://127.0.0.1:99999/"},
        {"url": "http://[bad/"},
        {"url": "http://" + "a" * 300 + "/"},
        {"url": "{receiver}", "headers": {"X": "\u20ac"}},
        {"url": "{receiver}", "method": "BREW"},
    ],
    ids=str,
)
def test_impossible_requests_are_given_up_after_one_attempt(receiver, content):
    content = {**content, "url": content["url"].replace("{receiver}", receiver.url)}
    make_policy(make_block("custom-webhook", content, ()))
    make_flow_run("RUNNING")

    send_notifications(later())

    stored = Notification.objects.get()
    assert (stored.standing, stored.attempts, len(stored.tries)) == ("GIVEN_UP", 1, 1)


LIMITS = [
    ("slack-webhook", 4_000),
    ("ms-teams-webhook", 25_000),
    ("discord-webhook", 2_100),
    ("mattermost-webhook", 16_000),
    ("webhook", 110_000),
]


@pytest.mark.parametrize(("kind", "most"), LIMITS)
@pytest.mark.parametrize("letter", ["x", "é", "日", "😀", '"', "&"])
def test_the_longest_failure_fits_its_receiver_and_ends_with_a_link(kind, most, letter):
    link = "http://127.0.0.1:4200/runs/1"
    content = {"url": "http://h", "webhook_id": "1", "webhook_token": "t", "hostname": "h", "token": "t"}
    message = Message("m", "s" * 1000, letter * 200_000, link=link)

    delivery = delivery_of(kind, content, message)

    answer = json.loads(delivery.content)
    assert len(json.dumps(answer, ensure_ascii=False).replace('\\"', '"').encode()) <= most
    assert link in delivery.content.decode()


def test_the_worst_failure_is_stored_and_sent_in_a_bounded_form(receiver):
    make_policy(slack(receiver))
    run = make_flow_run(make_state("FAILED", message="é" * 200_000), name="nightly")

    assert send_notifications(later()) == 1

    stored = Notification.objects.get()
    assert len(stored.body) < 20_000
    assert f"/runs/{run.pk}" in receiver.got[0]["content"]["text"]


@pytest.mark.parametrize("status", [400, 413, 414])
def test_a_message_that_is_too_long_is_sent_again_in_short_form(receiver, status):
    receiver.refuse, receiver.refusal = "Traceback", status
    make_policy(slack(receiver))
    run = make_flow_run(make_state("FAILED", message="boom\nTraceback"), name="nightly")

    sent = send_notifications(later())

    whole, short = (one["content"]["text"] for one in receiver.got)
    assert sent == 1
    assert "Traceback" in whole
    assert "nightly is Failed" in short
    assert short.endswith(f"/runs/{run.pk}")
    assert [one["outcome"] for one in Notification.objects.get().tries][-1] == "accepted: 200"


def test_a_short_form_that_is_refused_too_is_given_up(receiver):
    receiver.status = 400
    make_policy(slack(receiver))
    make_flow_run("RUNNING")

    send_notifications(later())
    send_notifications(later(10_000))

    stored = Notification.objects.get()
    assert (len(receiver.got), stored.standing, len(stored.tries)) == (2, "GIVEN_UP", 2)


@pytest.mark.parametrize(
    ("kind", "evil", "shown"),
    [
        ("slack-webhook", "<!channel> & <https://evil|good>", "&lt;!channel&gt; &amp; &lt;https://evil|good&gt;"),
        ("mattermost-webhook", "@all", "@\u200ball"),
        ("discord-webhook", "@everyone <@&1>", "@\u200beveryone <@\u200b&1>"),
        ("webhook", "<!channel> @all", "<!channel> @all"),
    ],
)
def test_names_cause_no_mentions_and_the_template_may(kind, evil, shown):
    policy = make_policy(make_block(kind, {"url": "http://h"}), message_template="<!here> @all {flow_run_name}")

    make_flow_run("RUNNING", name=evil)

    assert Notification.objects.get(policy=policy).body == f"<!here> @all {shown}"


def test_policies_select_types_flows_and_deployments(receiver):
    census = make_flow("census")
    make_policy(slack(receiver), state_types=["FAILED"], flow_names=["census"])

    make_flow_run(make_state("FAILED", name="TimedOut"), flow=census, name="told")
    make_flow_run("COMPLETED", flow=census)
    make_flow_run("FAILED", flow=make_flow("other"))
    send_notifications(later())

    assert len(receiver.got) == 1
    assert "told is TimedOut" in receiver.texts[0]


def test_each_attempt_is_noted_with_its_outcome(receiver):
    make_policy(slack(receiver))
    make_flow_run("RUNNING")
    receiver.status = 503

    send_notifications(later())
    receiver.status = 200
    send_notifications(later(12))

    tries = Notification.objects.get().tries
    assert [one["outcome"] for one in tries] == [
        "127.0.0.1 answered 503 and did not take the message.",
        "accepted: 200",
    ]
    assert all(one["seconds"] >= 0 and one["at"] for one in tries)
