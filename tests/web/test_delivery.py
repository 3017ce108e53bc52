"""How pages and their files are delivered: compressed, and kept by browsers as long as they do not change."""

from __future__ import annotations

import gzip
import re

import pytest
from django.test import Client

from orion_site.http.static_files import mark
from tests.web.rows import make_run


def test_pages_are_compressed_for_browsers_that_accept_it(browser: Client):
    for number in range(20):
        make_run(f"run-{number}")

    plain = browser.get("/runs")
    packed = browser.get("/runs", headers={"accept-encoding": "gzip"})

    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in packed.headers["Vary"]
    assert b"run-19" in gzip.decompress(packed.content)
    assert len(packed.content) < len(plain.content) / 4


def test_answers_of_the_api_are_left_as_they_are(browser: Client):
    answer = browser.get("/api/openapi.json", headers={"accept-encoding": "gzip"})

    assert "Content-Encoding" not in answer.headers


def test_files_of_pages_are_kept_for_ever_under_addresses_that_change_with_them(browser: Client):
    page = browser.get("/runs").content.decode()

    addresses = re.findall(r'(?:href|src)="(/static/[^"#]+)', page)

    assert len(addresses) > 3
    for address in set(addresses):
        answer = browser.get(address)
        answer.close()
        assert answer.status_code == 200, address
        assert "immutable" in answer.headers["Cache-Control"], address
        assert mark() in address


@pytest.mark.parametrize("address", ["/static/css/orion.css", "/static/v-000000000000/css/orion.css"])
def test_a_file_without_the_mark_of_this_release_is_kept_for_a_moment(browser: Client, address: str):
    answer = browser.get(address)
    answer.close()

    assert answer.status_code == 200
    assert "immutable" not in answer.headers["Cache-Control"]


def test_a_marked_address_of_no_file_is_not_found(browser: Client):
    assert browser.get(f"/static/{mark()}/css/nothing.css").status_code == 404


def test_styles_are_compressed(browser: Client):
    packed = browser.get(f"/static/{mark()}/css/orion.css", headers={"accept-encoding": "gzip"})

    assert packed.headers["Content-Encoding"] == "gzip"
    assert b":root" in gzip.decompress(packed.content)
