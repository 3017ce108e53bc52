"""The pages below a path of a real nginx: whatever they link to, load and listen to is below it, too."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.houses import House, furnished_server, is_page
from tests.browser.test_hostile_writers import made_in, signed_in
from tests.homes import ROOT
from tests.ports import lasting_port

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(1800)]

BELOW = "/orion"
CONFIGURATION = """
{user} daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{ listen 127.0.0.1:{port}; include {folder}/orion.conf; }}
}}
"""
# What a page links to, submits to or loads from this site. Pages without a path link to themselves.
ADDRESSES = """[...document.querySelectorAll("[href], [src], [action], [hx-get], [hx-post], [data-live-from]")]
  .flatMap((one) => ["href", "src", "action", "hx-get", "hx-post"].map((name) => one.getAttribute(name)))
  .filter((one) => one?.startsWith("/") && !one.startsWith("/orion/"))"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed: apt-get install nginx")
    home, folder, port = tmp_path_factory.mktemp("below"), tmp_path_factory.mktemp("nginx"), lasting_port()
    outside = {"ORION_EXTERNAL_URL": f"http://127.0.0.1:{port}{BELOW}", "ORION_TRUSTED_PROXIES": "127.0.0.1"}
    with furnished_server(home, "plain", **outside) as house:
        made_in(home)
        included = (ROOT / "deploy" / "nginx" / "orion.conf").read_text()
        (folder / "orion.conf").write_text(included.replace("http://127.0.0.1:4200", house.address))
        configuration = folder / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        configuration.write_text(CONFIGURATION.format(user=user, folder=folder, port=port))
        nginx = subprocess.Popen(["nginx", "-c", str(configuration)], stderr=subprocess.DEVNULL)
        try:
            yield House(f"http://127.0.0.1:{port}", house.pages)
        finally:
            nginx.terminate()
            nginx.wait(timeout=20)


@pytest.fixture
def page(chromium: Browser, house: House) -> Iterator[Page]:
    page = signed_in(chromium, house.address, "admin", below=BELOW)
    yield page
    page.context.close()


@pytest.mark.parametrize("walk", ["a few pages", pytest.param("every page", marks=pytest.mark.everywhere)])
def test_nothing_of_a_page_is_above_its_path(page: Page, house: House, walk: str):
    missing: list[str] = []
    page.on("response", lambda one: missing.append(f"{one.status} {one.url}") if one.status >= 400 else None)

    above, seen = [], 0
    for path in house.paths(walk):
        if path.startswith(BELOW) and is_page(page.context, path):
            page.goto(path)
            above += [f"{path}: {one}" for one in page.evaluate(ADDRESSES)]
            seen += 1

    assert (above, missing) == ([], [])
    assert seen >= 5


def test_a_page_is_live_through_the_proxy(page: Page, house: House):
    page.goto(house.pages["runs:run"])

    expect(page.locator("#live-control")).to_have_attribute("data-state", "live", timeout=30_000)
