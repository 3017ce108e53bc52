"""Disables buttons that the user's role does not allow, and shows the reason.

The view behind a button's address declares what it needs, so pages need not know roles. Pages for users who may do
everything are not changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, get_script_prefix, resolve

from orion_site.accounts.permissions import Action, Actor, may, may_in_part, who_asks

WHY = b'title="Your role does not allow this."'
_FORM = re.compile(rb'<form\b(?=[^>]*\bmethod="post")[^>]*>.*?</form>', re.S)
_ACTION = re.compile(rb'<form\b[^>]*\baction="([^"]*)"')
_BUTTON = re.compile(rb"<button\b(?![^>]*\bdisabled\b)(?![^>]*\btitle=)")
_SENDS_ELSEWHERE = re.compile(rb'<button\b(?![^>]*\bdisabled\b)([^>]*)\bformaction="([^"]*)"')
_EVERYTHING = frozenset(Action) - {Action.KEEP_KEYS}
_LINK = re.compile(rb'<a\b(?=[^>]*\bclass="button[ "])([^>]*)\bhref="([^"]*)"')


class RefusedButtonsMiddleware:
    """Disables refused buttons in pages, for users whose role does not allow everything."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        actor = who_asks()
        if actor is None or actor.actions >= _EVERYTHING or response.streaming:
            return response
        if response.headers.get("Content-Type", "").startswith("text/html"):
            response.content = without_refused(response.content, request.path, actor)
            if "Content-Length" in response.headers:
                response.headers["Content-Length"] = str(len(response.content))
        return response


def without_refused(page: bytes, here: str, actor: Actor) -> bytes:
    """Return the page with the buttons and links disabled that the actor may not use."""
    known: dict[bytes, bool] = {}

    def refused(address: bytes) -> bool:
        if address not in known:
            known[address] = _is_refused(unescape(address.decode()), here, actor)
        return known[address]

    def form(match: re.Match[bytes]) -> bytes:
        action = _ACTION.match(match[0])
        if not refused(action[1] if action else b""):
            return match[0]
        return _BUTTON.sub(b"<button disabled " + WHY, match[0])

    def button(match: re.Match[bytes]) -> bytes:
        return match[0].replace(b"<button", b"<button disabled " + WHY, 1) if refused(match[2]) else match[0]

    def link(match: re.Match[bytes]) -> bytes:
        return b'<a role="link" aria-disabled="true" ' + WHY + match[1] if refused(match[2]) else match[0]

    return _LINK.sub(link, _SENDS_ELSEWHERE.sub(button, _FORM.sub(form, page)))


def _is_refused(address: str, here: str, actor: Actor) -> bool:
    """Whether the view of the address needs an action that the actor may do to no object."""
    path, prefix = urlsplit(address).path or here, get_script_prefix()
    try:
        view = resolve("/" + path.removeprefix(prefix).lstrip("/")).func
    except Resolver404:
        return False
    action = getattr(view, "action_required", None)
    return action is not None and not may(actor, action) and not may_in_part(actor, action)
