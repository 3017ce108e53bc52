"""Two runs side by side, and what a failed run's page says of the last good one."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client

from orionflow.contract.masking import known
from runs.models import Environment
from tests.web.conftest import HOSTILE
from tests.web.rows import NOON, add_lines, make_flow, make_run, make_task_run

EARLIER = NOON - timedelta(hours=6)


def good_run(**columns):
    return make_run("good", at=EARLIER, **columns)


def bad_run(**columns):
    return make_run("bad", state="FAILED", message="The flow raised KeyError: 'x'", **columns)


def compared(browser: Client, before, after) -> str:
    answer = browser.get(f"/runs/{before.id}..{after.id}")
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_failed_run_shows_the_last_good_run_and_the_differences(browser: Client):
    good = good_run(flow_version="1", parameters={"day": "mon", "n": 1})
    bad = bad_run(flow_version="2", parameters={"day": "tue", "n": 1})
    make_task_run("load-0", flow_run=bad, state="FAILED", message="The task raised KeyError: 'x'")

    page = browser.get(f"/runs/{bad.id}").content.decode()

    assert "Worked <time" in page
    assert "flow version 1 → 2" in page
    assert "parameter day &quot;mon&quot; → &quot;tue&quot;" in page
    assert "parameter n" not in page
    assert f'href="/runs/{good.id}..{bad.id}"' in page


def test_at_most_five_differences_are_shown_with_the_number_of_the_others(browser: Client):
    good_run(parameters={f"p{number}": 0 for number in range(8)})
    bad = bad_run(parameters={f"p{number}": 1 for number in range(8)})

    page = browser.get(f"/runs/{bad.id}?tab=logs").content.decode()

    assert page.count("parameter p") == 5
    assert "3 more" in page


def test_a_completed_run_does_not_show_the_last_good_one(browser: Client):
    good_run()

    assert "Worked" not in browser.get(f"/runs/{make_run().id}").content.decode()


def test_all_differences_stand_on_one_page(browser: Client):
    good, bad = good_run(parameters={"n": 1}), bad_run(parameters={"n": 2})
    make_task_run("load-0", flow_run=good, dynamic_key="0", state_name="Cached")
    make_task_run("load-0", flow_run=bad, dynamic_key="0")
    make_task_run("same-0", flow_run=good, task_key="same", dynamic_key="0")
    make_task_run("same-0", flow_run=bad, task_key="same", dynamic_key="0")
    add_lines(good, "begin", "read 1200 rows")
    add_lines(bad, "begin", "read 0 rows")

    page = compared(browser, good, bad)

    for text in (
        "KeyError: &#x27;x&#x27;",
        "ran, and was taken from the cache before",
        "1 task run went alike in both",
        "+ read 0 rows",
        "- read 1200 rows",
    ):
        assert text in page


def test_runs_of_different_flows_are_compared_with_a_note(browser: Client):
    page = compared(browser, make_run("one"), make_run("other", flow=make_flow("load")))

    assert "These runs are of different flows: etl and load" in page


def test_a_run_compared_with_itself_has_no_differences(browser: Client):
    run = make_run(parameters={"a": 1})

    assert "are the same in both" in compared(browser, run, run)


def test_runs_that_are_not_there_are_not_found(browser: Client):
    run = make_run()

    assert browser.get(f"/runs/{run.id}..{uuid4()}").status_code == 404
    assert browser.get(f"/runs/{uuid4()}..{run.id}").status_code == 404
    assert browser.get(f"/runs/{run.id}..x").status_code == 404


def test_the_address_without_the_other_run_leads_to_the_last_good_one(browser: Client):
    good, bad = good_run(), bad_run()

    assert browser.get(f"/runs/{bad.id}/diff").headers["Location"] == f"/runs/{good.id}..{bad.id}"
    assert browser.get(f"/runs/{good.id}/diff").status_code == 404


@pytest.mark.parametrize("tasks", [1, 40])
def test_queries_do_not_depend_on_the_number_of_task_runs(browser: Client, django_assert_max_num_queries, tasks):
    good, bad = good_run(), bad_run()
    for number in range(tasks):
        make_task_run(f"load-{number}", flow_run=good, dynamic_key=str(number))
        late = {"total_run_time": timedelta(seconds=900)}
        make_task_run(f"load-{number}", flow_run=bad, dynamic_key=str(number), state="FAILED", **late)
    add_lines(good, "begin")
    add_lines(bad, "begin")

    with django_assert_max_num_queries(12):
        compared(browser, good, bad)


def test_values_of_runs_are_shown_as_text(browser: Client):
    good = good_run(parameters={HOSTILE: 1})
    bad = bad_run(parameters={HOSTILE: HOSTILE}, flow_version=HOSTILE)
    make_task_run(HOSTILE, flow_run=bad, task_key=HOSTILE)
    add_lines(good, "x")
    add_lines(bad, HOSTILE)

    assert HOSTILE not in compared(browser, good, bad)
    assert HOSTILE not in browser.get(f"/runs/{bad.id}").content.decode()


def test_a_secret_that_ends_where_lines_are_cut_is_masked(browser: Client):
    good, bad = good_run(), bad_run()
    add_lines(good, "begin")
    add_lines(bad, "x" * 990 + "s3cret-value-of-a-test")
    known.learn(["s3cret-value-of-a-test"])

    try:
        page = compared(browser, good, bad)
    finally:
        known.forget()

    assert "x" * 990 in page
    assert "s3cret" not in page


def test_packages_and_the_commit_are_compared_on_both_pages(browser: Client):
    shared = {"python": "3.11.2", "platform": "linux"}
    ids = [uuid4(), uuid4()]
    for id, commit, version in zip(ids, ("4fa9c1d2", "9be2d0e1"), ("2.2", "2.3"), strict=True):
        Environment.objects.create(id=id, commit=commit * 5, packages={"pandas": version, "six": "1.17"}, **shared)
    good, bad = good_run(environment_id=ids[0]), bad_run(environment_id=ids[1])

    for page in (compared(browser, good, bad), browser.get(f"/runs/{bad.id}").content.decode()):
        assert "4fa9c1d" in page
        assert "9be2d0e" in page
        assert "pandas" in page
        assert "six" not in page
    assert "not known of" not in compared(browser, good, bad)
    assert "Packages and commit are not known of one of the runs." in compared(browser, make_run("old"), bad)
