"""From a block and a message to the HTTP request that delivers it. The kinds of block are known here alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

JSON_TYPE = "application/json"
_PLACE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be told. A payload is the whole content of the request, as its author wrote it."""

    id: str
    subject: str
    body: str
    is_payload: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """One HTTP request."""

    url: str
    method: str = "POST"
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)


class Undeliverable(ValueError):
    """The block cannot carry a message; the message says why and what would do."""


def delivery_of(kind: str, content: Mapping[str, Any], message: Message) -> Delivery:
    """The request of a block of this kind (its type's slug) with this content, secrets in clear."""
    if kind not in _MAKERS:
        known = ", ".join(sorted(_MAKERS))
        raise Undeliverable(f"Blocks of the type {kind!r} cannot be sent to. Use one of: {known}.")
    made = _MAKERS[kind](content, message)
    return Delivery(made.url, made.method, made.content, {**made.headers, "Idempotency-Key": message.id}, made.params)


def _chat(content: Mapping[str, Any], message: Message) -> Delivery:
    return _json(_text(content, "url"), {"text": f"{message.subject}\n\n{message.body}"})


def _teams(content: Mapping[str, Any], message: Message) -> Delivery:
    card = {"@type": "MessageCard", "@context": "https://schema.org/extensions", "summary": message.subject}
    return _json(_text(content, "url"), {**card, "title": message.subject, "text": message.body})


def _discord(content: Mapping[str, Any], message: Message) -> Delivery:
    address = f"https://discord.com/api/webhooks/{_text(content, 'webhook_id')}/{_text(content, 'webhook_token')}"
    return _json(address, {"content": f"**{message.subject}**\n{message.body}"[:2000]})


def _mattermost(content: Mapping[str, Any], message: Message) -> Delivery:
    path = str(content.get("path") or "").strip("/")
    host = _text(content, "hostname") + (f":{content['port']}" if content.get("port") else "")
    address = "/".join(part for part in (f"https://{host}", path, "hooks", _text(content, "token")) if part)
    shown = {"username": content["botname"]} if content.get("botname") else {}
    return _json(address, {"text": f"{message.subject}\n\n{message.body}", **shown})


def _webhook(content: Mapping[str, Any], message: Message) -> Delivery:
    told = message.body if message.is_payload else json.dumps({"subject": message.subject, "body": message.body})
    headers = {"Content-Type": JSON_TYPE, **_texts(content.get("headers"))}
    return Delivery(_text(content, "url"), _method(content), told.encode(), headers)


def _custom(content: Mapping[str, Any], message: Message) -> Delivery:
    """Its author says the whole request, with {{subject}}, {{body}}, {{name}} and its secrets wherever they belong."""
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
        return json.dumps(filled["json_data"]).encode(), JSON_TYPE
    if filled["form_data"] is not None:
        return urlencode(_texts(filled["form_data"])).encode(), "application/x-www-form-urlencoded"
    return b"", ""


_MAKERS: dict[str, Callable[[Mapping[str, Any], Message], Delivery]] = {
    "slack-webhook": _chat,
    "ms-teams-webhook": _teams,
    "discord-webhook": _discord,
    "mattermost-webhook": _mattermost,
    "webhook": _webhook,
    "custom-webhook": _custom,
}


def _json(url: str, content: Any) -> Delivery:
    return Delivery(url, "POST", json.dumps(content).encode(), {"Content-Type": JSON_TYPE})


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
