"""Each kind of block as its receiver meets it: where the request goes, and what a real server is sent."""

from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from events.notifications.core.messages import Undeliverable, delivery_of
from events.notifications.core.receivers import Message
from events.notifications.services.sending import send

MESSAGE = Message("m-1", "Flow run notification", "nightly is Failed")
TEXT = "Flow run notification\n\nnightly is Failed"
PAGER = {
    "integration_key": "rk",
    "api_key": "ak",
    "notify_type": "info",
    "source": "Prefect",
    "component": "Notification",
}


def arrived(receiver, kind, content):
    """The address that is meant, and what came to a server that stands in for it."""
    delivery = delivery_of(kind, content, MESSAGE)
    meant = urlsplit(delivery.url)
    send(replace(delivery, url=f"{receiver.url}{meant.path}"))
    (got,) = receiver.got
    assert got["path"] == meant.path
    assert got["headers"]["Idempotency-Key"] == "m-1"
    return f"{meant.scheme}://{meant.netloc}{meant.path}", got["headers"], got["content"]


def test_slack(receiver):
    address, _, content = arrived(receiver, "slack-webhook", {"url": "https://hooks.slack.com/services/T/B/x"})

    assert (address, content) == ("https://hooks.slack.com/services/T/B/x", {"text": TEXT})


def test_teams(receiver):
    _, _, content = arrived(receiver, "ms-teams-webhook", {"url": "https://x.logic.azure.com/workflows/1"})

    (attached,) = content["attachments"]
    assert attached["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert [block["text"] for block in attached["content"]["body"]] == [MESSAGE.subject, MESSAGE.body]


def test_discord(receiver):
    block = {"webhook_id": "1", "webhook_token": "t", "botname": "orion"}

    address, _, content = arrived(receiver, "discord-webhook", block)

    assert address == "https://discord.com/api/webhooks/1/t"
    assert content == {"content": "**Flow run notification**\nnightly is Failed", "username": "orion"}


@pytest.mark.parametrize(
    ("port", "address"),
    [
        (8065, "http://chat.example.org:8065/in/hooks/t"),
        (443, "https://chat.example.org:443/in/hooks/t"),
        (None, "https://chat.example.org/in/hooks/t"),
    ],
)
def test_mattermost(receiver, port, address):
    block = {"hostname": "chat.example.org", "token": "t", "port": port, "path": "/in/", "channels": ["ops"]}

    meant, _, content = arrived(receiver, "mattermost-webhook", block)

    assert (meant, content) == (address, {"text": TEXT, "channel": "ops"})


def test_opsgenie(receiver):
    team = "4513b7ea-3b91-438f-b7e4-e3e54af9147c"
    block = {"apikey": "k", "target_user": ["ada"], "target_team": [team], "priority": "3", "tags": ["a"]}

    address, headers, content = arrived(receiver, "opsgenie-webhook", block)

    assert (address, headers["Authorization"]) == ("https://api.opsgenie.com/v2/alerts", "GenieKey k")
    assert content == {
        "message": MESSAGE.subject,
        "description": MESSAGE.body,
        "alias": "m-1",
        "source": "Orion",
        "priority": "P3",
        "tags": ["a"],
        "responders": [{"type": "user", "username": "ada"}, {"type": "team", "id": team}],
    }


def test_pager_duty(receiver):
    block = {**PAGER, "notify_type": "failure", "class_id": "flows", "clickable_url": "https://example.org/"}
    block |= {"custom_details": {"who": "ada"}}

    address, _, content = arrived(receiver, "pager-duty-webhook", block)

    assert address == "https://events.pagerduty.com/v2/enqueue"
    assert content == {
        "routing_key": "rk",
        "event_action": "trigger",
        "dedup_key": "m-1",
        "links": [{"href": "https://example.org/", "text": "Orion"}],
        "payload": {
            "summary": "Flow run notification: nightly is Failed",
            "severity": "critical",
            "source": "Prefect",
            "component": "Notification",
            "class": "flows",
            "custom_details": {"who": "ada", "message": MESSAGE.body},
        },
    }


def test_sendgrid(receiver):
    block = {"api_key": "k", "sender_email": "orion@example.org", "to_emails": ["a@example.org", "b@example.org"]}

    address, headers, content = arrived(receiver, "sendgrid-email", block)

    assert (address, headers["Authorization"]) == ("https://api.sendgrid.com/v3/mail/send", "Bearer k")
    assert content["personalizations"] == [{"to": [{"email": "a@example.org"}, {"email": "b@example.org"}]}]
    assert (content["from"], content["content"][0]["value"]) == ({"email": "orion@example.org"}, MESSAGE.body)


@pytest.mark.parametrize(("kind", "content"), [("opsgenie-webhook", {"apikey": "k"}), ("pager-duty-webhook", PAGER)])
def test_those_with_servers_in_europe_are_asked_there(kind, content):
    host = urlsplit(delivery_of(kind, {**content, "region_name": "eu"}, MESSAGE).url).hostname or ""

    assert ".eu." in host
    with pytest.raises(Undeliverable, match="evil"):
        delivery_of(kind, {**content, "region_name": "evil.example/"}, MESSAGE)


@pytest.mark.parametrize(
    ("kind", "content", "named"),
    [
        ("slack-webhook", {}, "url"),
        ("pager-duty-webhook", {}, "integration_key"),
        ("opsgenie-webhook", {"apikey": ""}, "apikey"),
        ("sendgrid-email", {"api_key": "k"}, "to_emails"),
        ("mattermost-webhook", {"hostname": "h", "token": "t", "channels": ["a", "b"]}, "channels"),
        ("twilio-sms", {}, "twilio-sms"),
    ],
)
def test_an_incomplete_block_names_the_missing_fields(kind, content, named):
    with pytest.raises(Undeliverable, match=named):
        delivery_of(kind, content, MESSAGE)


def test_texts_of_a_block_stay_valid_json():
    odd = {**PAGER, "custom_details": {"n": [1, {"x": None}]}}

    content = json.loads(delivery_of("pager-duty-webhook", odd, MESSAGE).content)

    assert content["payload"]["custom_details"]["n"] == [1, {"x": None}]
