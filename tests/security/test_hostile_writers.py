"""An admin reads what an operator and an agent wrote: as text, on each page that leads to it."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from runs.models import Artifact, Log
from tests.security.askers import Asker, key_of, user_with
from tests.security.hostile import MARKUP, everything_hostile
from tests.services.dispatching import make_deployment, make_queue
from tests.web.test_hostile_pages import flaws

pytestmark = pytest.mark.django_db
FOLLOWED = re.compile(r'href="(/(?!api|admin|static|logout|docs|redoc)[^"#]*)"')


def caller(client: Asker) -> Callable[[str, str, Any], Any]:
    def call(method: str, path: str, body: Any) -> Any:
        answer = client.call(method, path, body)
        assert answer.status_code < 500, answer.content
        return answer.json() if answer.content else None

    return call


def pages_from(client: Client, starts: list[str], most: int) -> dict[str, Any]:
    """The pages that links lead to, breadth first; those of one kind count up to a few."""
    seen: dict[str, Any] = {}
    ahead, kinds = list(starts), dict[str, int]()
    while ahead and len(seen) < most:
        path = ahead.pop(0)
        kind = re.sub(r"[0-9a-f-]{36}|=[^&]*", "*", path)
        if path in seen or kinds.get(kind, 0) >= 3:
            continue
        kinds[kind] = kinds.get(kind, 0) + 1
        seen[path] = answer = client.get(path)
        if answer.status_code == 200 and not answer.streaming and "html" in answer.headers["Content-Type"]:
            ahead += [unescape(one) for one in FOLLOWED.findall(answer.content.decode())]
    return seen


@pytest.mark.parametrize("most", [60, pytest.param(600, marks=[pytest.mark.long, pytest.mark.slow])])
def test_an_admin_reads_what_others_wrote_as_text(ada: User, most: int):
    operator, agent = (caller(Asker(key_of(user_with(role)))) for role in ("operator", "agent"))
    deployment = make_deployment(make_queue())
    agent("POST", "/api/agents/", {"name": "a", "incarnation": str(deployment.pk), "work_queues": ["q"], "host": "h"})
    runs = list(everything_hostile(operator, agent, str(deployment.pk)))
    assert (Log.objects.count(), Artifact.objects.count()) == (len(MARKUP), 5 * len(MARKUP))
    admin = Client(headers={"host": "localhost:4200"})
    admin.force_login(ada)

    first = [
        f"/runs/{runs[number]}?tab={tab}" for number in (0, 2) for tab in ("log", "tasks", "artifacts", "parameters")
    ]
    pages = pages_from(admin, ["/", "/runs", *first, "/artifacts", "/audit", "/search?q=img", "/settings/users"], most)

    assert sum(one.status_code == 200 for one in pages.values()) > most // 4
    found = [flaw for path, answer in pages.items() for flaw in flaws(answer, path)]
    texts = {path: b"".join(answer).decode(errors="replace") for path, answer in pages.items()}
    found += [path for path, text in texts.items() if re.search(r"<(script|img|svg)[^>]*hacked", text)]
    assert found == []
    assert sum("hacked()" in text for text in texts.values()) > 10
