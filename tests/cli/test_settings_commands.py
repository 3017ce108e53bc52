"""Settings and profiles are read and changed from the command line."""

from __future__ import annotations

import json

import pytest


def test_view_shows_values_and_their_origin(orion_here, monkeypatch):
    orion_here("config", "set", "logging_level=DEBUG")
    monkeypatch.setenv("ORION_API_URL", "http://127.0.0.1:9/api")

    answer = orion_here("config", "view", "--show-origin", "-o", "json")

    rows = {row["name"]: row for row in json.loads(answer.out)}
    assert rows["api_url"]["value"] == "http://127.0.0.1:9/api"
    assert "environment" in rows["api_url"]["origin"]
    assert rows["logging_level"]["value"] == 10
    assert "profile default" in rows["logging_level"]["origin"]
    assert rows["api_read_timeout_seconds"]["origin"] == "default"


def test_secrets_are_never_shown(orion_here, monkeypatch):
    orion_here("config", "set", "api_key=very-secret")

    shown = [
        orion_here("config", "view", "--all"),
        orion_here("profile", "inspect"),
        orion_here("config", "view", "--json"),
    ]

    assert all("very-secret" not in answer.out + answer.err for answer in shown)
    assert all("****" in answer.out for answer in shown)


def test_set_refuses_what_is_unknown_or_cannot_be_read(orion_here):
    unknown = orion_here("config", "set", "api_ulr=http://x")
    unreadable = orion_here("config", "set", "api_url=ftp://x")

    assert unknown.code == unreadable.code == 2
    assert "did you mean api_url?" in unknown.err
    assert "http://" in unreadable.err
    assert orion_here("config", "view").out.find("ftp") == -1


@pytest.mark.parametrize(
    "url", ["ftp://me:very-secret@host", "http://me:very-secret@[host/api", "http://me:very-secret@host:x"]
)
def test_an_invalid_address_is_reported_without_its_password(orion_here, monkeypatch, url):
    monkeypatch.setenv("ORION_API_URL", url)

    for words in (("flow-run", "ls"), ("import", "prefect", "--url", url)):
        answer = orion_here(*words)

        assert answer.code == 2
        assert "is not an http:// or https:// address" in answer.err
        assert "very-secret" not in answer.out + answer.err


def test_the_password_of_an_address_is_not_shown(orion_here):
    orion_here("config", "set", "api_url=http://me:very-secret@host/api")

    shown = [orion_here("config", "view"), orion_here("profile", "inspect"), orion_here("config", "view", "--json")]

    assert not any("very-secret" in answer.out + answer.err for answer in shown)


def test_set_takes_the_names_of_variables_and_unset_takes_them_back(orion_here):
    orion_here("config", "set", "ORION_API_URL=http://127.0.0.1:9/api")
    assert "127.0.0.1:9" in orion_here("config", "view").out

    assert orion_here("config", "unset", "api-url").code == 0

    assert "127.0.0.1:9" not in orion_here("config", "view").out
    assert orion_here("config", "unset", "api_url").code == 5


def test_set_warns_if_another_source_overrides_the_value(orion_here, monkeypatch):
    monkeypatch.setenv("ORION_LOGGING_LEVEL", "ERROR")

    answer = orion_here("config", "set", "logging_level=DEBUG")

    assert "environment ORION_LOGGING_LEVEL" in answer.err


def test_profiles_are_created_used_renamed_and_deleted(orion_here):
    assert orion_here("profile", "create", "staging", "-s", "api_url=http://127.0.0.1:9/api").code == 0
    assert orion_here("profile", "use", "staging").code == 0
    assert "127.0.0.1:9" in orion_here("config", "view").out
    assert orion_here("profile", "rename", "staging", "testing").code == 0

    rows = json.loads(orion_here("profile", "ls", "--json").out)

    assert {row["name"]: row["active"] for row in rows} == {"default": False, "testing": True}
    assert orion_here("profile", "delete", "testing", "--yes").code == 6
    orion_here("profile", "use", "default")
    assert orion_here("profile", "delete", "testing", "--yes").code == 0
    assert orion_here("profile", "inspect", "testing").code == 5


def test_deleting_without_yes_is_refused_on_no_terminal(orion_here):
    orion_here("profile", "create", "staging")

    answer = orion_here("profile", "delete", "staging")

    assert answer.code == 2
    assert "--yes" in answer.err
    assert "staging" in orion_here("profile", "ls").out


def test_an_unknown_profile_is_reported_in_one_sentence(orion_here, monkeypatch):
    monkeypatch.setenv("ORION_PROFILE", "nowhere")

    answer = orion_here("config", "view")

    assert answer.code == 5
    assert "nowhere" in answer.err
    assert "Traceback" not in answer.err


def test_set_takes_name_and_value_apart_too(orion_here):
    answer = orion_here("config", "set", "ORION_API_URL", "http://127.0.0.1:9/api")

    assert answer.code == 0
    assert "127.0.0.1:9" in orion_here("config", "view").out
