"""Authentication in the terms of Django REST framework: `request.user` is an `Actor`, `request.auth` its `Proof`.

The first class of DEFAULT_AUTHENTICATION_CLASSES that recognises the sender decides, for requests to the API, a page,
the admin or a websocket. Models are imported only when a credential is checked: an API inside a user's process has no
accounts.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from dataclasses import dataclass

from django.conf import settings
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from orchestration.errors import RunLost
from orion_site.accounts.local_owner import is_from_this_machine, is_local_owner
from orion_site.accounts.local_token import WRONG, cookie_name, is_good_cookie, is_own_token
from orion_site.accounts.permissions import LOCAL_OWNER, Actor
from orionflow.contract.credentials import KEY_BEGINS, LOCAL_TOKEN_BEGINS, RUN_TOKEN_BEGINS


@dataclass(frozen=True, slots=True)
class Proof:
    """The kind of credential that a request was authenticated by; `pk` is the id of the API key, if it was one."""

    kind: str
    pk: int | None = None

    def __str__(self) -> str:
        return self.kind


class LocalTokenAuthentication(authentication.BaseAuthentication):
    """Recognise programs of the owner on the server's machine by the token of this server process."""

    def authenticate(self, request: Request) -> tuple[Actor, Proof] | None:
        token = key_in(request.META.get("HTTP_AUTHORIZATION", ""))
        if token is None or not token.startswith(LOCAL_TOKEN_BEGINS):
            return None
        if is_from_this_machine(request.META) and is_own_token(token):
            return LOCAL_OWNER, Proof("token")
        raise AuthenticationFailed(WRONG)

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="orion"'


class KeyAuthentication(authentication.BaseAuthentication):
    """Recognise a program by its API key. An invalid key is refused, even if other credentials are valid."""

    def authenticate(self, request: Request) -> tuple[Actor, Proof] | None:
        key = key_in(request.META.get("HTTP_AUTHORIZATION", ""))
        if key is None:
            return None
        from orion_site.accounts.attempts import address_of

        actor = actor_with_key(key, address_of(request._request))
        return actor, Proof("run token" if actor.run_id else "key", actor.key_id)

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="orion"'


class SessionAuthentication(authentication.SessionAuthentication):
    """Recognise a user who signed in with this browser."""

    def authenticate(self, request: Request) -> tuple[Actor, Proof] | None:
        if settings.SESSION_COOKIE_NAME not in request.COOKIES:
            return None
        from orion_site.accounts.sessions import actor_of_session

        actor = actor_of_session(request._request)
        if actor is None:
            return None
        if "view" in request.parser_context:
            # An operation of the API. Pages are protected by Django's CSRF middleware.
            self.enforce_csrf(request)
        return actor, Proof("session")


class OwnersBrowserAuthentication(authentication.SessionAuthentication):
    """Recognise the owner's browser by the cookie that it got through a link of `orion open`."""

    def authenticate(self, request: Request) -> tuple[Actor, Proof] | None:
        cookie = request.COOKIES.get(cookie_name(request.META))
        if cookie is None or not is_from_this_machine(request.META) or not is_good_cookie(request.META, cookie):
            return None
        if "view" in request.parser_context:
            self.enforce_csrf(request)
        return LOCAL_OWNER, Proof("link")


class LocalOwnerAuthentication(authentication.BaseAuthentication):
    """Recognise the Unix user who runs the server as the local owner, except for requests through a proxy."""

    def authenticate(self, request: Request) -> tuple[Actor, None] | None:
        return (LOCAL_OWNER, None) if is_local_owner(request.META) else None


class ProcessOwnerAuthentication(authentication.BaseAuthentication):
    """Recognise the program itself when the API runs inside its process."""

    def authenticate(self, request: Request) -> tuple[Actor, None]:
        return LOCAL_OWNER, None


def actor_with_key(key: str, address: str) -> Actor:
    """Return the actor of a key that was sent from an address. Raises AuthenticationFailed with a sentence."""
    from orion_site.accounts.keys import actor_of_recognised

    # The usual case. A guessed key is never among the recognised ones.
    recognised = actor_of_recognised(key)
    return _looked_up(key, address) if recognised is None else recognised


def _looked_up(key: str, address: str) -> Actor:
    from orion_site.accounts import run_tokens
    from orion_site.accounts.errors import KeyRefused
    from orion_site.accounts.keys import UNKNOWN, actor_of_key
    from orion_site.accounts.throttling import count_guess, good_keys, refuse_guesser

    refuse_guesser(address, key)
    try:
        actor = run_tokens.actor_of_token(key) if key.startswith(RUN_TOKEN_BEGINS) else actor_of_key(key)
    except KeyRefused as error:
        if str(error) in {UNKNOWN, run_tokens.UNKNOWN}:
            count_guess(address, key)
        raise AuthenticationFailed(str(error)) from None
    # Guesses from the same address then do not lock out programs with this key.
    good_keys.add(key)
    return actor


def read_again(actor: Actor) -> Actor | None:
    """Return the actor with its present permissions; None if its key, token or user is no longer valid."""
    from orion_site.accounts.errors import KeyRefused
    from orion_site.accounts.keys import actor_again
    from orion_site.accounts.run_tokens import actor_of_attempt

    if actor.run_id is None or actor.epoch is None:
        return actor_again(actor)
    try:
        return actor_of_attempt(actor.run_id, actor.epoch, actor.claimed_by)
    except (KeyRefused, RunLost):
        return None


def key_in(header: str) -> str | None:
    """Return the key in an `Authorization` header; None if there is none that Orion has to check.

    A name with a password is meant for a proxy, unless the password is a key: clients send it so if they can only put
    credentials into the address of the API.
    """
    scheme, _, rest = header.partition(" ")
    match scheme.lower():
        case "bearer":
            return rest.strip()
        case "basic":
            password = _password(rest.strip())
            return password if password.startswith((KEY_BEGINS, RUN_TOKEN_BEGINS)) else None
    return None


def _password(pair: str) -> str:
    try:
        return b64decode(pair, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
