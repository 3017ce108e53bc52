"""Settings that contradict each other are reported before the server starts."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import run_checks
from django.test import override_settings

from orion_site.accounts.users import create_user
from orion_site.env import channel_layers


@pytest.fixture(autouse=True)
def as_users_have_it(settings: Any) -> None:
    settings.ORION_LOCAL_OWNER = ""


def ids() -> list[str | None]:
    return [found.id for found in run_checks(tags=["orion"])]


def test_the_defaults_are_good():
    assert ids() == []


@override_settings(DEBUG=True, ALLOWED_HOSTS=["localhost", "orion.example"])
def test_debugging_for_others_is_an_error():
    assert ids() == ["orion.E001"]


@override_settings(ORION_LOCAL_OWNER="anyone")
def test_that_anyone_is_the_owner_is_a_warning():
    assert ids() == ["orion.W004"]


@override_settings(ORION_LOCAL_OWNER="user")
def test_users_are_distinguished_only_where_the_kernel_does(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("orion_site.http.peers.way_to_ask", lambda: None)

    assert ids() == ["orion.E008"]


def deployed() -> list[str | None]:
    return [found.id for found in run_checks(tags=["orion"], include_deployment_checks=True)]


OF_OTHERS = {"ALLOWED_HOSTS": ["localhost", "orion.example"]}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"ALLOWED_HOSTS": ["localhost"]}, []),
        ({"ALLOWED_HOSTS": ["localhost"], "DEBUG": True}, ["orion.E012"]),
        (OF_OTHERS, ["orion.W006", "orion.W007"]),
        (OF_OTHERS | {"ORION_EXTERNAL_URL": "https://orion.example"}, ["orion.W006"]),
        ({"ALLOWED_HOSTS": ["localhost"], "ORION_LOCAL_OWNER": "anyone"}, ["orion.W004"]),
        ({"ALLOWED_HOSTS": ["localhost"], "SECRET_KEY": "short"}, ["orion.E010"]),
    ],
    ids=str,
)
def test_a_deployment_is_checked_for_more(changed: dict[str, Any], found: list[str]):
    with override_settings(**changed):
        assert sorted(map(str, deployed())) == found


@pytest.mark.django_db
@override_settings(**OF_OTHERS, ORION_EXTERNAL_URL="https://orion.example")
def test_users_behind_tls_cause_no_warning():
    create_user(name="ada", password="an otter in the river", roles=["admin"])

    assert deployed() == []


@override_settings(DEBUG=True, ALLOWED_HOSTS=["localhost", "127.0.0.1"])
def test_debugging_on_this_machine_is_fine():
    assert ids() == []


@pytest.mark.parametrize("path", ["orion", "/orion/", "//orion"])
def test_a_base_path_that_cannot_be_found_is_an_error(path: str):
    with override_settings(FORCE_SCRIPT_NAME=path):
        assert ids() == ["orion.E002"]


@pytest.mark.parametrize("placeholder", ["change-me", "CHANGEME", "change_this", "<secret>", "secret-key"])
@pytest.mark.parametrize("name", ["SECRET_KEY", "ORION_ENCRYPTION_KEYS"])
def test_a_placeholder_of_an_example_file_is_an_error(name: str, placeholder: str):
    with override_settings(**{name: placeholder if name == "SECRET_KEY" else [placeholder]}):
        assert "orion.E004" in ids()


def test_a_placeholder_as_the_password_of_the_database_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(settings.DATABASES["default"], "PASSWORD", "change-me")

    assert ids() == ["orion.E004"]


@pytest.mark.parametrize(
    ("slip", "meant"),
    [("ORION_BROKER_ULR", "ORION_BROKER_URL"), ("ORION_RETENTION_DAY_RUNS", "ORION_RETENTION_DAYS_RUNS")],
)
def test_a_misspelt_variable_is_warned_of(slip: str, meant: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(slip, "1")

    (found,) = run_checks(tags=["orion"])

    assert (found.id, slip in found.msg, meant in found.hint) == ("orion.W003", True, True)


@override_settings(SECRET_KEY="short")
def test_a_short_key_is_warned_of():
    assert ids() == ["orion.E010"]


@pytest.mark.parametrize(("keys", "expected"), [([], ["orion.W002"]), ([Fernet.generate_key().decode()], [])])
def test_servers_of_one_postgresql_are_asked_to_share_their_keys(
    keys: list[str], expected: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "django.db.backends.postgresql")
    with override_settings(ORION_ENCRYPTION_KEYS=keys):
        assert ids() == expected


@override_settings(ORION_LEASE_SECONDS=20.0, ORION_HEARTBEAT_SECONDS=15.0)
def test_a_lease_that_hardly_outlasts_a_heartbeat_is_an_error():
    assert ids() == ["orion.E003"]


@override_settings(ORION_LEASE_SECONDS=2.0, ORION_HEARTBEAT_SECONDS=0.5)
def test_short_periods_are_fine():
    assert ids() == []


@override_settings(ORION_CHANNEL_LAYER="redis://:secret@redis:6379/0")
def test_a_layer_on_redis_needs_its_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("orion_site.checks.find_spec", lambda name: None)
    missing = run_checks(tags=["orion"])
    monkeypatch.setattr("orion_site.checks.find_spec", lambda name: name)

    assert [found.id for found in missing] == ["orion.E006"]
    assert "secret" not in str(missing)
    assert ids() == []


@override_settings(ORION_CHANNEL_LAYER="amqp://guest:secret@broker/")
def test_a_layer_on_something_else_is_an_error():
    found = run_checks(tags=["orion"])

    assert [one.id for one in found] == ["orion.E007"]
    assert "secret" not in str(found)


@pytest.mark.parametrize(
    ("url", "backend"),
    [
        ("memory", "channels.layers.InMemoryChannelLayer"),
        ("redis://redis:6379/0", "channels_redis.core.RedisChannelLayer"),
    ],
)
def test_the_setting_of_channels_follows_the_url(url: str, backend: str):
    assert channel_layers(url)["default"]["BACKEND"] == backend
