"""The server's log for people: no text forges a line or moves the cursor of a reader, and it has no secrets."""

from __future__ import annotations

import logging
from logging.config import DictConfigurator
from typing import Any

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from orionflow.contract.masking import known

FORGED = "2026-01-05 12:00:00,000 CRITICAL orion.audit: all entries were removed"


def formatter() -> logging.Formatter:
    """As the settings name it."""
    found: Any = DictConfigurator({}).configure_formatter(dict(settings.LOGGING["formatters"]["line"]))
    assert isinstance(found, logging.Formatter)
    return found


def line(message: str, *args: Any, **more: Any) -> str:
    fields = {"name": "orion.x", "levelno": logging.WARNING, "levelname": "WARNING", "msg": message, "args": args}
    return formatter().format(logging.makeLogRecord({**fields, **more}))


def test_a_line_is_as_it_was():
    assert line("Backfill %r is paused: %s", "etl", "no").endswith(" WARNING orion.x: Backfill 'etl' is paused: no")


@given(st.text())
def test_texts_of_others_forge_no_line_and_move_no_cursor(text: str):
    first, *rest = line("A sign-on failed: %s", text + "\n" + FORGED).split("\n")

    assert first.startswith("20")
    assert [one for one in rest if not one.startswith("    ")] == []
    assert not {one for one in first + "".join(rest) if ord(one) < 32 and one != "\t" or 127 <= ord(one) < 160}
    assert {one for one in first if one in "\u202e\u2066\u2028\u2029"} == set()


def test_a_traceback_is_indented_with_its_message():
    try:
        raise ValueError(f"x\n{FORGED}")
    except ValueError as error:
        shown = line("It broke.", exc_info=(type(error), error, error.__traceback__))

    assert "\n    Traceback (most recent call last):\n" in shown
    assert FORGED in shown
    assert f"\n{FORGED}" not in shown


def test_no_line_has_a_known_secret():
    known.learn(["correct-horse-battery"])

    assert "correct-horse" not in line("The broker %s is away", "redis://:correct-horse-battery@broker")


@pytest.mark.django_db
def test_a_stranger_writes_no_line_by_way_of_sign_on(client: Any, settings: Any, caplog: Any):
    settings.ORION_OIDC_ISSUER = "http://127.0.0.1:9"
    settings.ORION_OIDC_CLIENT_ID, settings.ORION_OIDC_CLIENT_SECRET = "orion", "s"

    client.get("/login/sso/return", {"error": "x", "error_description": f"y\n{FORGED}"}, headers={"host": "localhost"})

    records = [record for record in caplog.records if record.name.startswith("orion")]
    assert records
    assert [one for record in records for one in formatter().format(record).split("\n") if one == FORGED] == []
