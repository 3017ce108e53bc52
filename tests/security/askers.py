"""Programs and people who ask from other machines, with a key, a session, or nothing."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from orion_site.accounts.keys import create_key
from orion_site.accounts.users import create_user

ELSEWHERE = "192.0.2.7"
PASSWORD = "an otter in the river"


class Asker(Client):
    """A client on another machine; with a key it sends that."""

    def __init__(self, key: str | None = None, *, address: str = ELSEWHERE, **headers: str) -> None:
        proof = {"authorization": f"Bearer {key}"} if key else {}
        super().__init__(REMOTE_ADDR=address, headers={"host": "localhost:4200", **proof, **headers})

    def call(self, method: str, path: str, body: Any = None) -> Any:
        content = b"" if body is None else json.dumps(body).encode()
        return self.generic(method, path, content, content_type="application/json")


def user_with(role: str | None, name: str = "") -> User:
    return create_user(name=name or f"{role}-account", roles=[role] if role else [])


def key_of(user: User, role: str = "", **fields: Any) -> str:
    fields = {"name": "test", "expires": None, "now": timezone.now(), **fields}
    return create_key(user=user, role=role, **fields)[1]
