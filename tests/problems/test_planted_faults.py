"""Twenty planted faults: `orion problem show` and the first page name the cause of each."""

from __future__ import annotations

import asyncio
import html
import inspect
import json

import pytest
from django.test import Client

from orionflow.cli import main
from tests.problems.planted import HERE, PLANTED, Planted


def run(planted: Planted) -> None:
    state = planted.run()
    if inspect.isawaitable(state):
        asyncio.run(state)


@pytest.mark.long
def test_each_of_twenty_faults_is_named(capsys: pytest.CaptureFixture[str], settings):
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, "127.0.0.1"]
    for planted in PLANTED:
        run(planted)
    capsys.readouterr()

    assert main(["problem", "ls", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    # Two of them fail by one and the same division.
    assert len(found) == len(PLANTED) - 1
    named = {(one["type"], one["place"]): one for one in found}
    reported = []
    for planted in PLANTED:
        one = named.get((planted.type, f"{HERE}:{planted.function}"))
        if one is None:
            continue
        assert main(["problem", "show", one["id"]]) == 0
        shown = capsys.readouterr().out
        wanted = (planted.type, f"{HERE}:{planted.function}", planted.word, planted.flow.name)
        reported += [planted] if all(word in shown for word in wanted) else []

    assert [one.flow.name for one in PLANTED if one not in reported] == []


@pytest.mark.long
@pytest.mark.parametrize("part", range(0, 20, 4))
def test_the_first_page_names_them(part: int, settings):
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, "127.0.0.1"]
    planted = PLANTED[part : part + 4]
    for one in planted:
        run(one)

    browser = Client(headers={"host": "127.0.0.1:4200"})
    browser.get("/problems")
    page = html.unescape(browser.get("/").content.decode())

    assert [one.flow.name for one in planted if not (one.type in page and one.word in page)] == []
