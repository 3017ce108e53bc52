"""Make the HTTP request that delivers a message through a block. Only this module knows the types of blocks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from events.notifications.core.receivers import Message, fitted

JSON_TYPE = "application/json"
_PLACE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CARDS = "http://adaptivecards.io/schemas/adaptive-card.json"
_MATTERMOST = 8065
# The part of host names for each region of customers' accounts.
_REGIONS = {"us": "", "eu": "eu."}
_SEVERITIES = {"warning": "warning", "failure": "critical"}
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class Delivery:
    """One HTTP request."""

    url: str
    method: str = "POST"
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)


class Undeliverable(ValueError):
    """The block cannot deliver a message. The message says why, and what to do."""


def delivery_of(kind: str, content: Mapping[str, Any], message: Message) -> Delivery:
    """Return the request for a block with this type (its slug) and content, secrets in clear text."""
    if kind not in _MAKERS:
        known = ", ".join(sorted(_MAKERS))
        raise Undeliverable(f"Blocks of the type {kind!r} cannot be sent to. Use one of: {known}.")
    made = _MAKERS[kind](content, fitted(kind, message))
    return Delivery(made.url, made.method, made.content, {**made.headers, "Idempotency-Key": message.id}, made.params)


def _chat(content: Mapping[str, Any], message: Message) -> Delivery:
    return _json(_text(content, "url"), {"text": f"{message.subject}\n\n{message.body}"})


def _teams(content: Mapping[str, Any], message: Message) -> Delivery:
    """Return an adaptive card: workflows of Teams show no other kind, and older webhooks support it, too."""
    title = {"type": "TextBlock", "text": message.subject, "weight": "Bolder", "wrap": True}
    text = {"type": "TextBlock", "text": message.body, "wrap": True}
    card = {"$schema": _CARDS, "type": "AdaptiveCard", "version": "1.4", "body": [title, text]}
    attached = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return _json(_text(content, "url"), {"type": "message", "attachments": [attached]})


def _discord(content: Mapping[str, Any], message: Message) -> Delivery:
    address = f"https://discord.com/api/webhooks/{_text(content, 'webhook_id')}/{_text(content, 'webhook_token')}"
    shown = {"username": content["botname"]} if content.get("botname") else {}
    return _json(address, {"content": f"**{message.subject}**\n{message.body}"[:2000], **shown})


def _mattermost(content: Mapping[str, Any], message: Message) -> Delivery:
    path = str(content.get("path") or "").strip("/")
    port = content.get("port")
    # Its default port serves plain HTTP, and so does the client that created the block.
    scheme = "http" if port == _MATTERMOST else "https"
    host = f"{scheme}://{_text(content, 'hostname')}" + (f":{port}" if port else "")
    address = "/".join(part for part in (host, path, "hooks", _text(content, "token")) if part)
    shown = {"username": content["botname"]} if content.get("botname") else {}
    return _json(address, {"text": f"{message.subject}\n\n{message.body}", **shown, **_channel(content)})


def _channel(content: Mapping[str, Any]) -> dict[str, str]:
    match content.get("channels"):
        case None | []:
            return {}
        case [channel]:
            return {"channel": str(channel)}
    raise Undeliverable("The block names several channels; make one for each, so that each message is sent once.")


def _opsgenie(content: Mapping[str, Any], message: Message) -> Delivery:
    """Return an alert. The alias prevents a message that is sent twice from creating two alerts."""
    alert: dict[str, Any] = {
        "message": message.subject[:130],
        "description": message.body[:15_000],
        "alias": content.get("alias") or message.id,
        "responders": [*_responders(content)],
        "source": "Orion",
    }
    if content.get("priority"):
        alert["priority"] = f"P{str(content['priority']).removeprefix('P')}"
    more = {name: content[name] for name in ("tags", "entity", "details") if content.get(name)}
    address = f"https://api.{_REGIONS[_region(content)]}opsgenie.com/v2/alerts"
    return _json(address, {**alert, **more}, Authorization=f"GenieKey {_text(content, 'apikey')}")


def _responders(content: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield the responders in the block, by name or by id."""
    for kind, key in (("user", "username"), ("team", "name"), ("schedule", "name"), ("escalation", "name")):
        for named in content.get(f"target_{kind}") or ():
            yield {"type": kind, ("id" if _ID.fullmatch(str(named)) else key): str(named)}


def _pager_duty(content: Mapping[str, Any], message: Message) -> Delivery:
    """Return an event, which creates a single incident even if it is sent repeatedly."""
    severity = _SEVERITIES.get(str(content.get("notify_type")), "info")
    about = {"summary": f"{message.subject}: {message.body}"[:1024], "severity": severity}
    about["source"] = str(content.get("source") or "Orion")
    for name, of_block in (("component", "component"), ("group", "group"), ("class", "class_id")):
        if content.get(of_block):
            about[name] = str(content[of_block])
    details = {"custom_details": {**_mapping(content.get("custom_details")), "message": message.body}}
    event: dict[str, Any] = {"routing_key": _text(content, "integration_key"), "event_action": "trigger"}
    event |= {"dedup_key": message.id, "payload": {**about, **details}}
    links = [str(content.get("clickable_url") or ""), message.link]
    if any(links):
        event["links"] = [{"href": link, "text": "Orion"} for link in links if link]
    return _json(f"https://events.{_REGIONS[_region(content)]}pagerduty.com/v2/enqueue", event)


def _region(content: Mapping[str, Any]) -> str:
    region = str(content.get("region_name") or "us")
    if region not in _REGIONS:
        raise Undeliverable(f"The block's region {region!r} is none of {', '.join(_REGIONS)}.")
    return region


def _sendgrid(content: Mapping[str, Any], message: Message) -> Delivery:
    receivers = content.get("to_emails")
    if not isinstance(receivers, list) or not receivers:
        raise Undeliverable("The block has no address in 'to_emails'; fill it in.")
    mail = {
        "personalizations": [{"to": [{"email": str(one)} for one in receivers]}],
        "from": {"email": _text(content, "sender_email")},
        "subject": message.subject,
        "content": [{"type": "text/plain", "value": message.body}],
    }
    return _json("https://api.sendgrid.com/v3/mail/send", mail, Authorization=f"Bearer {_text(content, 'api_key')}")


def _webhook(content: Mapping[str, Any], message: Message) -> Delivery:
    body = message.body if message.is_payload else _dumped({"subject": message.subject, "body": message.body})
    headers = {"Content-Type": JSON_TYPE, **_texts(content.get("headers"))}
    return Delivery(_text(content, "url"), _method(content), body.encode(errors="replace"), headers)


def _custom(content: Mapping[str, Any], message: Message) -> Delivery:
    """Return the request that the block defines, with {{subject}}, {{body}}, {{name}} and its secrets filled in."""
    values = {name: str(value) for name, value in _mapping(content.get("secrets")).items()}
    values |= {"subject": message.subject, "body": message.body, "name": str(content.get("name") or "")}
    filled: dict[str, Any] = {
        name: _filled(content.get(name), values)
        for name in ("url", "params", "json_data", "form_data", "headers", "cookies")
    }
    headers = _texts(filled["headers"])
    if cookies := _texts(filled["cookies"]):
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
    body, kind = _content(filled)
    headers = {**({"Content-Type": kind} if kind else {}), **headers}
    return Delivery(_text(filled, "url"), _method(content), body, headers, _texts(filled["params"]))


def _content(filled: Mapping[str, Any]) -> tuple[bytes, str]:
    if filled["json_data"] is not None:
        return _dumped(filled["json_data"]).encode(errors="replace"), JSON_TYPE
    if filled["form_data"] is not None:
        return urlencode(_texts(filled["form_data"])).encode(), "application/x-www-form-urlencoded"
    return b"", ""


_MAKERS: dict[str, Callable[[Mapping[str, Any], Message], Delivery]] = {
    "slack-webhook": _chat,
    "ms-teams-webhook": _teams,
    "discord-webhook": _discord,
    "mattermost-webhook": _mattermost,
    "opsgenie-webhook": _opsgenie,
    "pager-duty-webhook": _pager_duty,
    "sendgrid-email": _sendgrid,
    "webhook": _webhook,
    "custom-webhook": _custom,
}


def _json(url: str, content: Any, **headers: str) -> Delivery:
    return Delivery(url, "POST", _dumped(content).encode(errors="replace"), {"Content-Type": JSON_TYPE, **headers})


def _dumped(content: Any) -> str:
    """Return JSON in UTF-8. Escaped text could be up to six times as long, and some receivers count bytes."""
    return json.dumps(content, ensure_ascii=False)


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    match value:
        case str():
            return _PLACE.sub(lambda place: values.get(place[1], place[0]), value)
        case list():
            return [_filled(one, values) for one in value]
        case dict():
            return {_filled(name, values): _filled(one, values) for name, one in value.items()}
    return value


def _text(content: Mapping[str, Any], name: str) -> str:
    value = content.get(name)
    if not isinstance(value, str) or not value:
        raise Undeliverable(f"The block has no {name!r}; fill it in.")
    return value


def _method(content: Mapping[str, Any]) -> str:
    method = str(content.get("method") or "POST").upper()
    if method not in _METHODS:
        raise Undeliverable(f"The block's method {method!r} is none of {', '.join(sorted(_METHODS))}.")
    return method


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _texts(value: Any) -> dict[str, str]:
    return {str(name): str(one) for name, one in _mapping(value).items()}
