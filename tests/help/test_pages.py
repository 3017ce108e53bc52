"""`/help` shows the pages of docs/ in the dashboard: complete, linked, searchable, and without anybody's HTML."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from orion_site.help.contents import every_page
from orion_site.help.rendering import rendered
from tests.audited import AuditedClient

DOCS = Path(settings.BASE_DIR) / "docs"
PAGES = list(every_page(DOCS))


@pytest.fixture
def browser(db: None) -> Client:
    return AuditedClient(headers={"host": "127.0.0.1:4200"})


def addresses_in(page: str) -> list[str]:
    return re.findall(r'<a href="(/help[^"]*)"', page)


def test_every_file_is_in_the_navigation():
    listed = {page.path for page in PAGES}

    assert {one.relative_to(DOCS).as_posix() for one in DOCS.rglob("*.md")} - listed == set()


def test_every_link_leads_to_a_page_and_to_a_heading_of_it(browser: Client):
    pages = {address: shown(browser, address) for address in (f"/help/{page.name}".rstrip("/") for page in PAGES)}

    anchors = {address: {*re.findall(r'<h[1-6] id="([^"]+)"', page)} for address, page in pages.items()}
    for address, page in pages.items():
        for link in addresses_in(page):
            target, _, anchor = link.partition("#")
            assert target in anchors, f"{address} links to {link}"
            assert not anchor or anchor in anchors[target], f"{address} links to {link}"


def shown(browser: Client, address: str) -> str:
    answer = browser.get(address)
    assert answer.status_code == 200, address
    return answer.content.decode()


def test_a_page_asks_the_database_nothing_about_runs(browser: Client, django_assert_max_num_queries: Any):
    with django_assert_max_num_queries(2):
        page = browser.get("/help/explanation/concepts").content.decode()

    assert page.count("<h1") == 1
    assert 'aria-current="page">Concepts</a>' in page


def test_titles_of_a_folder_are_read_once_and_again_after_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "README.md").write_text("## Folders\n| [Folder](folder/README.md) | About it |\n")
    (tmp_path / "folder").mkdir()
    page = tmp_path / "folder" / "page.md"
    page.write_text("# First title\n")
    read, of_path = [], Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda path, *args, **more: read.append(path) or of_path(path, *args, **more)
    )

    before = [[one.title for one in every_page(tmp_path)] for _ in range(3)]
    page.write_text("# Second title\n")
    os.utime(page, ns=(1, 1))
    after = [one.title for one in every_page(tmp_path)]

    assert before == [["Documentation", "Folder", "First title"]] * 3
    assert after == ["Documentation", "Folder", "Second title"]
    assert read.count(page) == 2


def test_a_request_reads_the_list_of_pages_once(browser: Client, monkeypatch: pytest.MonkeyPatch):
    shown(browser, "/help/tutorial")
    read, of_path = [], Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda path, *args, **more: read.append(path) or of_path(path, *args, **more)
    )

    shown(browser, "/help/tutorial")

    assert read.count(DOCS / "README.md") == 1


def test_pictures_are_served_by_the_server_itself(browser: Client):
    page = browser.get("/help/tutorial").content.decode()

    pictures = re.findall(r'<img src="([^"]+)"', page)

    assert pictures
    for picture in pictures:
        assert b"".join(browser.get(picture)).startswith((b"\x89PNG", b"<svg"))


def test_the_search_finds_passages_by_all_of_their_words(browser: Client):
    found = browser.get("/help", {"q": "webhook slack"}).content.decode()

    assert any("notifications" in address for address in addresses_in(found))
    assert "No passage has all of these words" in browser.get("/help", {"q": "qwertz"}).content.decode()


def words_elsewhere() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Names of the commonest tasks at Prefect and Airflow, with the pages that answer them here."""
    for row in (DOCS / "howto" / "find.md").read_text().splitlines():
        if "](" in row and row.startswith("| "):
            task, *others, answer = [cell.strip() for cell in row.strip("|").split("|")]
            pages = tuple(os.path.normpath(f"howto/{one}") for one in re.findall(r"\]\(([^)#]+)\.md", answer))
            yield task, pages
            yield from ((word, pages) for cell in others for word in cell.split(", ") if word)


@pytest.mark.parametrize(("text", "pages"), [*words_elsewhere()], ids=str)
def test_a_task_is_found_by_its_name_elsewhere(browser: Client, text: str, pages: tuple[str, ...]):
    found = browser.get("/help", {"q": text}).content.decode()

    hits = re.findall(r'<li>\s*<a href="/help/([^"#]+)', found.partition('<ul class="manual-hits">')[2])

    assert {*pages} & {*list(dict.fromkeys(hits))[:4]}, hits


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("retry", "howto/retries"),
        ("schedule", "howto/schedules"),
        ("cron", "howto/schedules"),
        ("crontab", "howto/from-cron"),
        ("cache", "howto/caching"),
        ("slack", "howto/notifications"),
        ("mail", "howto/notifications"),
        ("limit", "howto/limits"),
        ("secret", "howto/secrets"),
        ("password", "howto/secrets"),
        ("parameters", "howto/parameters"),
        ("backfill", "howto/backfill"),
        ("test a flow", "howto/testing"),
        ("docker", "howto/containers"),
        ("kubernetes", "howto/containers"),
        ("git", "howto/code"),
        ("approve", "howto/approval"),
        ("how do I upgrade", "howto/upgrade"),
        ("back up", "howto/back-up"),
        ("postgresql", "howto/postgresql-and-redis"),
        ("nginx", "howto/nginx"),
        ("prometheus", "howto/observability"),
        ("airflow", "howto/from-airflow"),
        ("holidays", "howto/calendars"),
        ("logging", "howto/logging"),
        ("artifacts", "howto/logging"),
        ("concurrency", "howto/limits"),
        ("timeout", "howto/long-flows"),
        ("roles", "reference/security"),
        ("rules", "reference/rules"),
        ("why does my run not start", "howto/why"),
    ],
)
def test_the_page_that_a_reader_expects_is_found_first(browser: Client, text: str, page: str):
    found = browser.get("/help", {"q": text}).content.decode()

    first = re.search(r'<ul class="manual-hits">\s*<li>\s*<a href="/help/([^"]+)"', found)
    assert first is not None
    assert first[1] == page


def test_a_part_of_a_word_and_signs_are_found(browser: Client):
    for text in ("_DATABASE_U", "@last-failed", "task_input"):
        assert '<ul class="manual-hits">' in browser.get("/help", {"q": text}).content.decode(), text


@pytest.mark.parametrize("name", ["nothing", "../README", "tutorial.md", "images/home.png", "%00", "tutorial/.."])
def test_unknown_pages_are_not_found(browser: Client, name: str):
    assert browser.get(f"/help/{name}").status_code in (400, 404)


def test_the_words_of_a_search_stay_words(browser: Client):
    page = browser.get("/help", {"q": "<script>alert(1)</script>"}).content.decode()

    assert "<script>alert" not in page


def test_notes_headings_and_links_are_as_on_the_site(tmp_path: Path):
    (tmp_path / "README.md").write_text("## Learn\n\n| page | about |\n|---|---|\n| [One](a/one.md) | it |\n")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.md").write_text(
        "# One & two\n\n> [!WARNING]\n> Mind **this**.\n\n## Two: `x`\n\n## Two: `x`\n\n"
        "[here](../README.md#learn) [outside](../../x.py) [web](https://example.org) <b>bold</b>\n"
    )

    html = rendered(tmp_path, "a/one.md").html

    assert '<h1 id="one-two">' in html
    assert 'id="two-x"' in html
    assert 'id="two-x_1"' in html
    assert '<blockquote class="alert alert-warning">' in html
    assert "<strong>Warning</strong><br />" in html
    assert "<strong>this</strong>" in html
    assert '<a href="/help#learn">here</a> outside <a href="https://example.org" rel="noopener noreferrer">' in html
    assert "&lt;b&gt;bold" in html


def test_code_has_colours_and_what_is_in_it_stays_text(tmp_path: Path):
    (tmp_path / "README.md").write_text(
        "# One\n\n```python\ndef f(): return '<b>'\n```\n\n```console\n$ orion run\n<b>\n```\n\n```text\n<b>\n```\n\n"
        "```unheard-of\n<b>\n```\n"
    )

    html = rendered(tmp_path, "README.md").html

    assert '<span class="k">def</span>' in html
    assert '<span class="gp">$ </span>' in html
    assert html.count("&lt;b&gt;") == 4
    assert "<b>" not in html


def test_names_of_the_sdk_come_with_their_signature_and_text(browser: Client):
    page = re.sub(r"</?span[^>]*>", "", browser.get("/help/reference/python").content.decode())

    assert "run_deployment(" in page
    assert "&quot;str&quot;" not in page
    assert "&#x27;str&#x27;" not in page
    assert "Make a function a flow:" in page
    assert "::: " not in page


def test_a_picture_with_a_dark_version_is_shown_by_theme(browser: Client):
    page = browser.get("/help/tutorial").content.decode()

    assert re.search(r'<img src="/static/v-\w+/help/run-failed.png"[^>]* class="only-light"', page)
    assert re.search(r'<img src="/static/v-\w+/help/run-failed-dark.png"[^>]* class="only-dark"', page)
