"""Headers about addresses and schemes are trusted from the configured proxies only."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from orion_site.accounts.proxies import FORWARDED, read_forwarding, was_handed_on
from orion_site.env import env_networks, external_url, host_of, path_of

PROXY = "192.0.2.1"


def read(settings: Any, trusted: list[str], url: str = "http://127.0.0.1:4200", **meta: str) -> tuple[str, str]:
    settings.ORION_TRUSTED_PROXIES = [ip_network(one) for one in trusted]
    settings.ORION_EXTERNAL_URL = url
    environ = {"REMOTE_ADDR": PROXY, "wsgi.url_scheme": "http", "HTTP_HOST": "orion.example", **meta}
    read_forwarding(environ)
    return environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]


@pytest.mark.parametrize(
    ("trusted", "forwarded", "client"),
    [
        ([], "203.0.113.9", PROXY),
        (["192.0.2.2"], "203.0.113.9", PROXY),
        (["192.0.2.1"], "203.0.113.9", "203.0.113.9"),
        (["192.0.2.1"], "", PROXY),
        (["192.0.2.1"], "10.1.1.1, 203.0.113.9", "203.0.113.9"),
        (["192.0.2.0/24"], "10.1.1.1, 203.0.113.9, 192.0.2.7", "203.0.113.9"),
        (["192.0.2.0/24"], "192.0.2.8, 192.0.2.7", "192.0.2.8"),
        (["192.0.2.0/24", "127.0.0.1"], "203.0.113.9, 127.0.0.1", "127.0.0.1"),
        (["192.0.2.0/24"], "203.0.113.9, nonsense", "nonsense"),
    ],
)
def test_the_client_is_whom_our_own_proxies_saw(settings: Any, trusted: list[str], forwarded: str, client: str):
    assert read(settings, trusted, HTTP_X_FORWARDED_FOR=forwarded)[0] == client


@pytest.mark.parametrize(
    ("trusted", "expected", "scheme"),
    [
        ([], "https", "http"),
        ([PROXY], "https", "https"),
        ([PROXY], "http", "http"),
        ([PROXY], "http, https", "https"),
        ([PROXY], "gopher", "http"),
    ],
)
def test_the_scheme_is_taken_only_from_named_proxies(settings: Any, trusted: list[str], expected: str, scheme: str):
    assert read(settings, trusted, HTTP_X_FORWARDED_PROTO=expected)[1] == scheme


@pytest.mark.parametrize(
    ("url", "host", "scheme"),
    [
        ("https://orion.example/orion", "orion.example", "https"),
        ("https://orion.example", "ORION.example", "https"),
        ("https://orion.example:8443", "orion.example", "http"),
        ("https://orion.example", "127.0.0.1:4200", "http"),
        ("http://orion.example", "orion.example", "http"),
    ],
)
def test_the_public_address_defines_the_scheme_of_its_host(settings: Any, url: str, host: str, scheme: str):
    assert read(settings, [], url, HTTP_HOST=host)[1] == scheme


def test_an_address_of_ipv4_is_known_in_the_form_of_ipv6(settings: Any):
    client, _ = read(settings, ["127.0.0.1"], REMOTE_ADDR="::ffff:127.0.0.1", HTTP_X_FORWARDED_FOR="203.0.113.9")

    assert client == "203.0.113.9"


@pytest.mark.parametrize("header", sorted(FORWARDED))
def test_a_request_with_a_header_of_proxies_was_forwarded(header: str):
    assert was_handed_on({header: ""})
    assert not was_handed_on({"HTTP_HOST": "localhost"})


@pytest.mark.parametrize("value", ["nginx", "10.0.0.0/33", "127.0.0.1;10.0.0.1"])
def test_a_proxy_is_named_by_its_address(monkeypatch: pytest.MonkeyPatch, value: str):
    monkeypatch.setenv("ORION_TRUSTED_PROXIES", value)

    with pytest.raises(ImproperlyConfigured, match="ORION_TRUSTED_PROXIES"):
        env_networks("ORION_TRUSTED_PROXIES")


@pytest.mark.parametrize("name", ["ORION_EXTERNAL_URL", "ORION_UI_URL"])
def test_host_and_path_follow_from_the_address_outside(monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv(name, "https://orion.example:8443/orion/")

    url = external_url()

    assert (url, host_of(url), path_of(url)) == ("https://orion.example:8443/orion", ["orion.example"], "/orion")


@pytest.mark.parametrize("url", ["orion.example", "ftp://orion.example", "https://", "https://a:b@c", "https://a?b=c"])
def test_an_address_outside_that_cannot_be_one_stops_the_start(monkeypatch: pytest.MonkeyPatch, url: str):
    monkeypatch.setenv("ORION_EXTERNAL_URL", url)

    with pytest.raises(ImproperlyConfigured, match="ORION_EXTERNAL_URL"):
        external_url()
