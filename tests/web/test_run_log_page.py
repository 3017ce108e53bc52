"""The log on a run's page: narrowed, searched, entered at any line, and taken along as a file."""

from __future__ import annotations

import json
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.test import Client

from orionflow.contract.kinds import GAP_LOGGER
from runs.models import FlowRun, Log
from runs.pages.selectors import log as selectors
from runs.pages.selectors import parts
from tests.web.conftest import HOSTILE
from tests.web.rows import NOON, add_lines, make_run, make_task_run

pytestmark = pytest.mark.undivided


def log_of(browser: Client, run: FlowRun, **asked: str):
    return browser.get(f"/runs/{run.id}", {"tab": "logs", **asked}).context["log"]


def messages(log) -> list[str]:
    return [line.message for line in log.lines]


def walked(browser: Client, run: FlowRun, address: str, onwards: str) -> list[list[str]]:
    """The messages of each page, from one address on."""
    pages = []
    while address:
        answer = browser.get(f"/runs/{run.id}{address}")
        pages.append(messages(answer.context["log"]))
        address = answer.context[onwards]
    return pages


def numbered(count: int) -> list[str]:
    return [f"line {place:04}" for place in range(count)]


def test_every_line_is_on_exactly_one_page_with_the_task_that_wrote_it(browser: Client):
    run = make_run()
    task = make_task_run("load-0", flow_run=run)
    add_lines(run, *numbered(1120), task_run=task)

    pages = walked(browser, run, "?tab=logs", "later")

    assert [len(page) for page in pages] == [500, 500, 120]
    assert sum(pages, []) == numbered(1120)
    assert "load-0" in browser.get(f"/runs/{run.id}?tab=logs").content.decode()


def test_earlier_pages_lead_back_to_the_first_line(browser: Client):
    run = make_run()
    add_lines(run, *numbered(1120))

    pages = walked(browser, run, "?tab=logs&from=end", "earlier")

    assert sum(reversed(pages), []) == numbered(1120)


def test_the_log_of_a_moving_run_opens_at_its_end_and_follows(browser: Client):
    run = make_run(state="RUNNING")
    add_lines(run, *numbered(620))

    last = browser.get(f"/runs/{run.id}?tab=logs")
    first = browser.get(f"/runs/{run.id}{last.context['first']}")

    assert messages(last.context["log"]) == numbered(620)[120:]
    assert "data-live-append" in last.content.decode()
    assert messages(first.context["log"]) == numbered(620)[:500]
    assert "data-live-append" not in first.content.decode()


def test_the_log_of_a_finished_run_opens_at_its_start(browser: Client):
    run = make_run()
    add_lines(run, *numbered(620))

    assert messages(log_of(browser, run))[0] == "line 0000"


def test_a_level_leaves_the_lesser_lines_out(browser: Client):
    run = make_run()
    for level, words in ((10, "chatter"), (20, "fact"), (30, "doubt"), (40, "disk full"), (50, "fire")):
        add_lines(run, words, level=level)

    shown = {level: set(messages(log_of(browser, run, level=level))) for level in ("20", "30", "40")}

    assert shown["40"] == {"disk full", "fire"}
    assert shown["30"] == shown["40"] | {"doubt"}
    assert shown["20"] == shown["30"] | {"fact"}


def test_lines_can_be_narrowed_to_a_task_to_one_of_its_runs_and_to_the_flow(browser: Client):
    run = make_run()
    first = make_task_run("load-0", flow_run=run, task_key="etl.load")
    second = make_task_run("load-1", flow_run=run, task_key="etl.load")
    other = make_task_run("save-0", flow_run=run, task_key="etl.save")
    for task in (first, second, other):
        add_lines(run, f"of {task.name}", task_run=task)
    add_lines(run, "of the flow")

    assert set(messages(log_of(browser, run, task="etl.load"))) == {"of load-0", "of load-1"}
    assert messages(log_of(browser, run, task=str(second.id))) == ["of load-1"]
    assert messages(log_of(browser, run, task="-")) == ["of the flow"]
    page = browser.get(f"/runs/{run.id}?tab=logs&task={second.id}").content.decode()
    assert f'<option value="{second.id}" selected>load-1</option>' in page
    assert '<option value="etl.save">save</option>' in page


def test_one_task_run_shows_no_lines_of_another_run(browser: Client):
    run, other = make_run(), make_run("other")
    task = make_task_run(flow_run=other)
    add_lines(other, "foreign", task_run=task)

    assert messages(log_of(browser, run, task=str(task.id))) == []


def test_words_are_found_in_any_case_and_marked(browser: Client):
    run = make_run()
    add_lines(run, "nothing", "Row 17 has NO customer", "100% <b>sure</b>")

    page = browser.get(f"/runs/{run.id}", {"tab": "logs", "q": "no customer"}).content.decode()

    assert "Row 17 has <mark>NO customer</mark>" in page
    assert "nothing" not in page
    assert messages(log_of(browser, run, q="100%")) == ["100% <b>sure</b>"]
    assert messages(log_of(browser, run, q="_ow")) == []


def test_a_search_shows_how_far_it_came_and_continues_from_there(browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(selectors, "SEARCHED", 100)
    run = make_run()
    add_lines(run, *numbered(250), "needle", *numbered(40))

    first = browser.get(f"/runs/{run.id}?tab=logs&q=needle")
    pages = walked(browser, run, "?tab=logs&q=needle", "later")
    back = walked(browser, run, "?tab=logs&q=needle&from=end", "earlier")

    assert "No line matches so far" in first.content.decode()
    assert "Search later lines" in first.content.decode()
    assert pages == [[], [], ["needle"]]
    assert back == [["needle"], [], []]


def test_a_line_has_an_address_that_shows_it_among_the_others(browser: Client):
    run = make_run()
    add_lines(run, *numbered(300))
    line = log_of(browser, run, q="line 0200").lines[0]

    answer = browser.get(f"/runs/{run.id}", {"tab": "logs", "at": str(line.place)})

    assert messages(answer.context["log"]) == numbered(300)[190:]
    assert f'id="line-{line.id}"\n          class="info here"' in answer.content.decode()
    before = browser.get(f"/runs/{run.id}{answer.context['earlier']}")
    assert messages(before.context["log"]) == numbered(300)[:190]


def test_the_first_error_and_those_beside_it_are_a_click_away(browser: Client):
    run = make_run()
    add_lines(run, *numbered(50))
    add_lines(run, "first error", level=40)
    add_lines(run, "second error", level=50)
    Log.objects.filter(message="first error").update(timestamp=NOON + timedelta(milliseconds=20.5))
    Log.objects.filter(message="second error").update(timestamp=NOON + timedelta(milliseconds=40.5))
    first, second = Log.objects.filter(level__gte=40).order_by("timestamp")

    page = browser.get(f"/runs/{run.id}?tab=logs").content.decode()
    found = browser.get(f"/runs/{run.id}/log/error")
    landed = browser.get(found.headers["Location"])
    following = browser.get(f"/runs/{run.id}/log/error", {"after": landed.context["where"].at})

    assert "2 errors" in page
    assert urlsplit(found.headers["Location"]).fragment == f"line-{first.id}"
    assert messages(landed.context["log"])[:12] == [*numbered(21)[11:], "first error", "line 0021"]
    assert urlsplit(following.headers["Location"]).fragment == f"line-{second.id}"
    assert "Next error" in landed.content.decode()


def test_without_an_error_the_way_to_it_leads_to_the_log(browser: Client):
    run = make_run()
    add_lines(run, "all well")

    assert "First error" not in browser.get(f"/runs/{run.id}?tab=logs").content.decode()
    assert browser.get(f"/runs/{run.id}/log/error").headers["Location"] == f"/runs/{run.id}?tab=logs"


def test_lost_lines_are_a_gap_with_words(browser: Client):
    run = make_run()
    words = "3 log lines were lost here: the program logged faster than the API took it, or the API was away."
    Log.objects.create(name=GAP_LOGGER, level=30, message=words, timestamp=NOON, flow_run_id=run.id)

    page = browser.get(f"/runs/{run.id}?tab=logs").content.decode()

    assert 'class="gap"' in page
    assert words in page


def test_a_very_long_line_is_cut_on_the_page_and_whole_at_its_own_address(browser: Client):
    run = make_run()
    add_lines(run, "x" * 5000)
    line = log_of(browser, run).lines[0]

    cut = browser.get(f"/runs/{run.id}?tab=logs").content.decode()
    whole = log_of(browser, run, at=str(line.place))

    assert "3000 characters more" in cut
    assert messages(whole) == ["x" * 5000]


def test_colours_of_terminals_are_left_out(browser: Client):
    run = make_run()
    add_lines(run, "\x1b[31mred\x1b[0m alert")

    assert "red alert" in browser.get(f"/runs/{run.id}?tab=logs").content.decode()


def test_the_log_is_taken_along_as_text_and_as_json_lines(browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(selectors, "LINES_PER_CHUNK", 100)
    run = make_run("brave otter")
    add_lines(run, *numbered(250))
    add_lines(run, "disk full", level=40)

    text = browser.get(f"/runs/{run.id}/log.txt")
    lines = browser.get(f"/runs/{run.id}/log.jsonl?level=40")
    body = b"".join(text.streaming_content).decode().splitlines()

    assert text.headers["Content-Disposition"] == 'attachment; filename="braveotter.txt"'
    assert len(body) == 251
    assert body[0] in {
        "2026-11-20 12:00:00.000 UTC INFO     orion.flow_runs: line 0000",
        "2026-11-20 12:00:00.000 UTC ERROR    orion.flow_runs: disk full",
    }
    [line] = [json.loads(one) for one in b"".join(lines.streaming_content).splitlines()]
    assert line["message"] == "disk full"
    assert line["flow_run_id"] == str(run.id)


def test_long_lines_are_taken_along_whole_and_in_parts(browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parts, "CHARACTERS_PER_PART", 4_000)
    run = make_run()
    add_lines(run, "short", "a" * 3_000, "b" * 3_000, "c")

    sent = browser.get(f"/runs/{run.id}/log.jsonl").streaming_content

    found = [[json.loads(line)["message"] for line in part.splitlines()] for part in sent]
    assert found == [["short", "a" * 3_000], ["b" * 3_000, "c"]]


def test_a_task_runs_log_has_the_same_tools(browser: Client):
    task = make_task_run("load-0")
    add_lines(task.flow_run, "mine", "my error", level=40, task_run=task)
    add_lines(task.flow_run, "of the flow", level=40)

    page = browser.get(f"/task-runs/{task.id}?tab=logs&q=mine")
    error = browser.get(f"/task-runs/{task.id}/log/error")
    text = b"".join(browser.get(f"/task-runs/{task.id}/log.txt").streaming_content).decode()

    assert messages(page.context["log"]) == ["mine"]
    assert "2 errors" in page.content.decode()
    assert error.headers["Location"].startswith(f"/task-runs/{task.id}?tab=logs&at=")
    assert text.count("\n") == 2


@pytest.mark.parametrize(
    "asked", ["level=x", "level=99999", "at=nonsense", "after=2026", "task=nope", "q=%25", "from=x"]
)
def test_what_cannot_be_read_shows_a_page_all_the_same(browser: Client, asked: str):
    run = make_run()
    add_lines(run, HOSTILE)

    answer = browser.get(f"/runs/{run.id}?tab=logs&{asked}")

    assert answer.status_code == 200
    assert HOSTILE not in answer.content.decode()


@pytest.mark.parametrize("asked", ["", "&q=line", "&task=etl.load&level=20", "&from=end", "&level=40"])
def test_a_page_of_a_failed_runs_log_costs_few_queries(browser: Client, django_assert_max_num_queries, asked: str):
    run = make_run(state="FAILED", message="The flow raised KeyError: 'x'")
    for place in range(5):
        task = make_task_run(f"load-{place}", flow_run=run, state="FAILED", message="The task raised KeyError: 'x'")
        add_lines(run, *numbered(300), level=40, task_run=task)

    with django_assert_max_num_queries(12):
        browser.get(f"/runs/{run.id}?tab=logs{asked}")
