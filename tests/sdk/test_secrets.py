"""Secrets of the server, for programs: saved once, loaded by name, and not told by accident."""

from __future__ import annotations

import pytest

from orionflow import Secret, flow, task
from orionflow.errors import Conflict, NotFound, UsageError


def test_a_secret_is_saved_and_loaded():
    Secret(value="s3cret").save("github")

    assert Secret.load("github").get() == "s3cret"
    assert Secret("github").get() == "s3cret"


def test_a_secret_is_overwritten_only_when_that_is_said():
    Secret(value="old").save("github")

    with pytest.raises(Conflict, match="overwrite=True"):
        Secret(value="new").save("github")
    Secret("github", value="new").save(overwrite=True)

    assert Secret("github").get() == "new"


def test_flows_and_tasks_read_secrets():
    @task
    def length() -> int:
        return len(Secret.load("github").get())

    @flow
    def reading() -> int:
        return length()

    Secret(value="12345").save("github")

    assert reading() == 5


async def test_coroutines_await_what_asks_the_api():
    @flow
    async def reading() -> str:
        return (await Secret.load("github")).get()

    await Secret(value="s3cret").save("github")

    assert await reading() == "s3cret"


def test_the_value_is_not_in_what_is_printed():
    assert "s3cret" not in repr(Secret("github", value="s3cret"))


def test_what_is_missing_is_told():
    with pytest.raises(NotFound):
        Secret.load("nobody")
    with pytest.raises(UsageError, match="no value to save"):
        Secret("github").save()
    with pytest.raises(UsageError, match="no name"):
        Secret(value="x").save()
