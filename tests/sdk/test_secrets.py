"""Secrets of the server, for programs: saved once, loaded by name, and not told by accident."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from html import escape
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionflow import Secret, flow, get_run_logger, task
from orionflow.artifacts import create_markdown_artifact
from orionflow.contract.masking import COMMON_WORDS, MASK, KnownSecrets, known
from orionflow.errors import Conflict, NotFound, UsageError


def test_a_secret_is_saved_and_loaded():
    Secret(value="s3cret").save("github")

    assert Secret.load("github").get() == "s3cret"
    assert Secret("github").get() == "s3cret"


def test_a_secret_is_overwritten_only_with_the_option():
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


def test_missing_objects_are_not_found():
    with pytest.raises(NotFound):
        Secret.load("nobody")
    with pytest.raises(UsageError, match="no value to save"):
        Secret("github").save()
    with pytest.raises(UsageError, match="no name"):
        Secret(value="x").save()


CANARY = "canary-in-the-mine-5f2e"


def test_a_secret_that_was_read_is_masked_in_all_output_of_a_program(orion, capfd):
    @task
    def connect(token: str) -> None:
        get_run_logger().info("connecting with %s", token)
        print("again", token)
        raise ValueError(f"{token} is refused")

    @flow(log_prints=True)
    def inner(token: str) -> None:
        create_markdown_artifact(f"the token is {token}", key="leak")
        connect(token)

    @flow
    def outer() -> None:
        inner(Secret.load("github").get())

    Secret(value=CANARY).save("github")

    state = outer(return_state=True)

    assert state.is_failed()
    output = "".join(capfd.readouterr())
    assert "connecting with ********" in output
    assert CANARY not in output
    assert "******** is refused" in (state.message or "")
    files = [one for one in orion.home.rglob("*") if one.is_file() and "results" not in one.parts]
    assert [one for one in files if CANARY.encode() in one.read_bytes()] == []


def test_a_secret_is_masked_before_it_leaves_the_program():
    body = b'{"message": "with canary-in-the-mine-5f2e"}'
    known.learn([CANARY])

    assert known.masked_json(body) == b'{"message":"with ********"}'
    assert known.masked_line(body + b"\n") == b'{"message":"with ********"}\n'
    assert known.masked_json(b"no JSON: " + CANARY.encode()) == b"no JSON: " + CANARY.encode()


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: repr(text),
        lambda text: json.dumps(text),
        lambda text: text.replace('"', '""'),
        lambda text: f"https://user:{quote(text, safe='')}@host",
        lambda text: f"<b>{escape(text)}</b>",
        lambda text: escape(json.dumps(text), quote=False),
        lambda text: text.replace("@", "@\u200b"),
        lambda text: text.splitlines()[1],
    ],
    ids=["repr", "JSON", "CSV", "address", "HTML", "Slack", "Discord", "a line"],
)
def test_a_secret_is_found_in_every_encoding(encode):
    value = "first line of 'it'\nsecond \"line\" & @it, ünd\\more"
    secrets = KnownSecrets()
    secrets.learn([value])

    shown = secrets.masked(f"before {encode(value)} after")

    assert "line" not in shown
    assert "second" not in shown
    assert (shown[:6], shown[-5:]) == ("before", "after")


def test_the_shortest_values_are_not_looked_for():
    secrets = KnownSecrets()
    secrets.learn(["", " ", "123", "  a  "])

    assert not secrets
    assert secrets.masked("123 a") == "123 a"


@pytest.mark.parametrize("word", ["prefect", "Prefect", "PREFECT", "production", "flow", "orion", "12345"])
def test_a_common_word_is_masked_only_where_a_text_is_nothing_else(word: str):
    secrets = KnownSecrets()
    secrets.learn([word])
    run = {"id": word, "name": word, "type": word, "tags": [word], word: 1, "parameters": {"login": word, "at": [word]}}

    answer = json.loads(secrets.masked_answer(json.dumps(run).encode()))

    assert answer == {**run, "parameters": {"login": MASK, "at": [MASK]}}
    assert secrets.masked(f" {word}\n") == MASK
    assert secrets.masked(f"the {word} server") == f"the {word} server"
    assert secrets.masked_bytes(f"<p>the {word} server</p>".encode()) == f"<p>the {word} server</p>".encode()


@given(
    st.one_of(
        st.uuids().map(str),
        st.uuids().map(lambda one: one.hex),
        st.binary(min_size=8, max_size=40).map(lambda one: urlsafe_b64encode(one).decode()),
        st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=8).filter(
            lambda one: one.casefold() not in COMMON_WORDS and not {*one} & {*"«»()*"}
        ),
        st.sampled_from(["hunter2", "s3cret", "Tr0ub4dor&3", "correct horse battery staple", "swordfish"]),
    )
)
def test_no_secret_of_usual_length_slips(value: str):
    secrets = KnownSecrets()
    secrets.learn([value])
    fields = {"message": f"({value})", "name": value, "deep": [{"x": f"«{value}»"}], "parameters": {"token": value}}
    body = json.dumps(fields).encode()

    shown = json.dumps(json.loads(secrets.masked_answer(body)), ensure_ascii=False)
    reported = json.dumps(json.loads(secrets.masked_json(body)), ensure_ascii=False)

    assert shown == reported
    assert json.loads(shown) == {
        "message": f"({MASK})", "name": MASK, "deep": [{"x": f"«{MASK}»"}], "parameters": {"token": MASK}
    }  # fmt: skip
    assert secrets.masked(f"({value})") == f"({MASK})"
    assert secrets.masked_bytes(f"({value})".encode()) == f"({MASK})".encode()


@pytest.mark.parametrize("word", ["prod", "root", "postgres"])
def test_a_common_word_reaches_the_program_unmasked(word: str):
    secrets = KnownSecrets()
    secrets.learn([word])
    event = {"event": "ingested", "payload": {"db": word}, "parameters": {"env": word}, "data": word, "message": word}

    arrived = json.loads(secrets.masked_json(json.dumps(event).encode()))

    assert arrived == {**event, "message": MASK}
    assert secrets.masked_value(event) == event
