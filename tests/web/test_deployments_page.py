"""The list of deployments: dense rows, worst first, with a switch and a button to run."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from deployments.pages.bars import bars_of, text_of
from deployments.pages.selectors.deployment_lines import DeploymentLine, Health
from runs.models import FlowRun
from tests.web.conftest import HOSTILE
from tests.web.deployments import HOURLY, add_run, make_deployment
from tests.web.rows import make_run

pytestmark = pytest.mark.undivided

HOUR = timedelta(hours=1)


def lines_at(browser: Client, address: str = "/deployments") -> list[DeploymentLine]:
    return list(browser.get(address).context["found"].lines)


def names_at(browser: Client, address: str = "/deployments") -> list[str]:
    return [line.deployment.name for line in lines_at(browser, address)]


def test_the_page_without_deployments_explains_how_to_make_one(browser: Client):
    page = browser.get("/deployments").content.decode()

    assert "No deployments yet" in page
    assert "ORION_API_URL=http://127.0.0.1:4200/api python hello.py" in page


def test_what_fails_comes_first_then_what_is_late_then_the_rest_by_name(browser: Client):
    fine, failing, late, paused = (
        make_deployment(name, paused=name == "a-paused") for name in ("b-fine", "z-failing", "y-late", "a-paused")
    )
    add_run(fine, "FAILED", ago=2 * HOUR)
    add_run(fine, "COMPLETED", ago=HOUR)
    add_run(failing, "COMPLETED", ago=2 * HOUR)
    add_run(failing, "CRASHED", ago=HOUR)
    add_run(late, "SCHEDULED", state_name="Late", ago=HOUR)

    assert names_at(browser) == ["z-failing", "y-late", "a-paused", "b-fine"]
    assert names_at(browser, "/deployments?sort=name") == ["a-paused", "b-fine", "y-late", "z-failing"]
    assert [line.health for line in lines_at(browser)][:2] == [Health.FAILING, Health.LATE]
    assert paused.paused


def test_each_number_leads_to_a_list_that_is_so_long(browser: Client):
    for name in ("one", "two"):
        add_run(make_deployment(name), "FAILED", ago=HOUR)
    add_run(make_deployment("three"), "SCHEDULED", state_name="Late", ago=HOUR)
    make_deployment("four", paused=True)

    counts = browser.get("/deployments").context["counts"]

    assert [(one.number, one.words) for one in counts] == [(2, "failing"), (1, "late"), (1, "paused")]
    for one in counts:
        assert len(lines_at(browser, "/deployments" + one.address)) == one.number


def test_deployments_are_found_by_name_flow_tag_and_switch(browser: Client):
    make_deployment("nightly", flow="etl", tags=["prod"])
    make_deployment("hourly", flow="train", tags=["dev"], paused=True)

    assert names_at(browser, "/deployments?q=NIGHT") == ["nightly"]
    assert names_at(browser, "/deployments?q=trai") == ["hourly"]
    assert names_at(browser, "/deployments?flow=etl") == ["nightly"]
    assert names_at(browser, "/deployments?tag=dev") == ["hourly"]
    assert names_at(browser, "/deployments?show=paused") == ["hourly"]
    assert names_at(browser, "/deployments?show=active") == ["nightly"]
    assert "No deployment matches" in browser.get("/deployments?q=nope").content.decode()


def test_a_list_without_hits_says_which_filter_to_remove(browser: Client, django_assert_max_num_queries):
    add_run(make_deployment("one"), "FAILED", ago=HOUR)
    make_deployment("two")

    with django_assert_max_num_queries(12):
        page = browser.get("/deployments?show=failing&q=two&sort=name")

    without = page.context["without"]
    assert [(one.words, one.count.number) for one in without] == [("name two", 1), ("state Last run failed", 1)]
    assert [names_at(browser, f"/deployments{one.address}") for one in without] == [["one"], ["two"]]


@pytest.mark.parametrize("sort", ["", "name"])
def test_the_next_page_goes_on_after_the_last_line(browser: Client, sort: str):
    for number in range(60):
        made = make_deployment(f"d-{number:02}")
        if number % 2:
            add_run(made, "FAILED", ago=HOUR)

    first = browser.get(f"/deployments?sort={sort}")
    second = browser.get("/deployments" + first.context["next"])
    names = [line.deployment.name for answer in (first, second) for line in answer.context["found"].lines]

    assert len(first.context["found"].lines) == 50
    assert sorted(names) == [f"d-{number:02}" for number in range(60)]
    assert names[0] == ("d-00" if sort else "d-01")


def test_a_line_shows_the_last_thirty_runs_and_the_next_one_but_no_planned_ones(browser: Client):
    made = make_deployment()
    for number in range(40):
        add_run(made, ago=HOUR * (number + 1), name=f"run-{number}")
    for number in range(5):
        add_run(made, "SCHEDULED", ago=-HOUR * (number + 1), name=f"planned-{number}")

    (line,) = lines_at(browser)

    assert [run.name for run in line.last_runs] == [f"run-{number}" for number in range(29, -1, -1)]
    assert line.next_run.name == "planned-0"


def test_a_slower_deployment_shows_by_how_much(browser: Client):
    made = make_deployment()
    for number in range(20):
        add_run(made, ago=HOUR * (number + 1), name=f"run-{number}")
    FlowRun.objects.update(total_run_time=timedelta(seconds=100))
    FlowRun.objects.filter(name__in=[f"run-{number}" for number in range(5)]).update(
        total_run_time=timedelta(seconds=140)
    )

    (line,) = lines_at(browser)

    assert (line.usual_seconds, line.drift) == (100, "▲ 40 % slower")


@pytest.mark.usefixtures("noon")
def test_the_share_of_runs_in_time_leads_to_those_that_were_late(browser: Client):
    made = make_deployment(must_finish_within=timedelta(minutes=10))
    due = timezone.now() - 40 * HOUR
    late_by = {1: timedelta(seconds=16), 2: timedelta(seconds=15), 3: timedelta(seconds=-5)}
    for number in range(1, 8):
        begun = due + number * HOUR + late_by.get(number, timedelta())
        add_run(made, ago=40 * HOUR - number * HOUR, name=f"run-{number}", start_time=begun)
    FlowRun.objects.filter(name="run-4").update(end_time=due + 4 * HOUR + timedelta(minutes=11))
    skipped, stopped = (add_run(made, "CANCELLED", ago=HOUR, name=name, start_time=None) for name in ("skip", "stop"))
    FlowRun.objects.filter(pk=skipped.pk).update(state_timestamp=skipped.expected_start_time)
    FlowRun.objects.filter(pk=stopped.pk).update(state_timestamp=timezone.now())
    add_run(made, "PENDING", ago=timedelta(minutes=1), name="stuck")
    add_run(made, "PENDING", ago=timedelta(seconds=1), name="new")

    (line,) = lines_at(browser)
    listed = browser.get(f"/deployments/{made.pk}?tab=runs&show=late")

    assert line.on_time.words == "5 of 9 in time: started within 15 s and finished within 10m of the planned time"
    address = f'<a href="/deployments/{made.pk}?tab=runs&amp;show=late"'
    for page in (browser.get(path).content.decode() for path in ("/deployments", "/", f"/deployments/{made.pk}")):
        assert address in page
        assert ">55 %</a>" in page
    assert {run.name for run in listed.context["found"].page.rows} == {"run-1", "run-4", "stop", "stuck"}
    assert listed.context["found"].count.number == 4


def test_a_deployment_whose_last_run_started_late_comes_before_those_in_time(browser: Client):
    punctual, tardy = make_deployment("a-punctual"), make_deployment("b-tardy")
    add_run(punctual, ago=HOUR)
    add_run(tardy, ago=HOUR, start_time=timezone.now() - HOUR / 2)

    assert names_at(browser) == ["b-tardy", "a-punctual"]
    assert "<title>etl/b-tardy · Orion" in browser.get(f"/deployments/{tardy.pk}").content.decode()


def test_few_runs_show_no_drift(browser: Client):
    made = make_deployment()
    add_run(made, ago=HOUR)

    (line,) = lines_at(browser)

    assert line.drift == ""


def test_bars_have_a_text(db: None):
    now = timezone.now()
    runs = [make_run(f"{place}", state=state) for place, state in enumerate(["COMPLETED", "COMPLETED", "FAILED"])]

    drawn = bars_of(runs, now)

    assert text_of(runs) == drawn.text == "2 completed, 1 failed"
    assert [kind for kind, _ in drawn.paths] == ["COMPLETED", "FAILED"]
    assert bars_of([], now).paths == []


def test_a_run_that_began_while_the_page_was_made_has_a_bar(db: None):
    run = make_run("new", state="RUNNING")

    drawn = bars_of([run], run.state_timestamp - timedelta(seconds=1))

    assert [kind for kind, _ in drawn.paths] == ["RUNNING"]


def test_the_button_runs_the_deployment_and_comes_back(browser: Client):
    made = make_deployment(parameters={"region": "north"})

    answer = browser.post(f"/deployments/{made.pk}/run-now", {"back": "/deployments?q=night"}, follow=True)

    run = FlowRun.objects.get(deployment_id=made.pk)
    assert answer.redirect_chain == [("/deployments?q=night", 302)]
    assert (run.state_type, run.parameters) == ("SCHEDULED", {"region": "north"})
    assert f'<a href="/runs/{run.pk}">' in answer.content.decode()


def test_the_switch_pauses_and_resumes(browser: Client):
    made = make_deployment(schedules=[HOURLY])
    planned = FlowRun.objects.filter(deployment_id=made.pk)
    assert planned.exists()

    browser.post(f"/deployments/{made.pk}/pause")
    made.refresh_from_db()
    assert made.paused
    assert not planned.exists()

    browser.post(f"/deployments/{made.pk}/resume")
    made.refresh_from_db()
    assert not made.paused
    assert planned.exists()


def test_a_deployment_with_several_schedules_is_paused_as_well(browser: Client):
    made = make_deployment(schedules=[HOURLY, {"cron": "5 4 * * *", "timezone": "UTC"}])

    browser.post(f"/deployments/{made.pk}/pause")

    made.refresh_from_db()
    assert made.paused


@pytest.mark.parametrize("address", ["//evil.example/x", "https://evil.example/", "javascript:alert(1)", ""])
def test_an_action_leads_nowhere_else(browser: Client, address: str):
    made = make_deployment()

    answer = browser.post(f"/deployments/{made.pk}/pause", {"back": address})

    assert answer["location"] == "/deployments"


def test_names_of_others_are_text_and_not_markup(browser: Client):
    make_deployment(HOSTILE, flow=HOSTILE.replace("/", ""), tags=[HOSTILE])

    assert HOSTILE not in browser.get("/deployments").content.decode()


def test_the_list_costs_the_same_few_queries_for_many_deployments(browser: Client, django_assert_max_num_queries):
    for number in range(30):
        made = make_deployment(f"d-{number}", schedules=[HOURLY])
        add_run(made, ago=HOUR)

    with django_assert_max_num_queries(7):  # views, counts, lines, where runs begin, runs, which are next, those
        browser.get("/deployments")


def test_rows_follow_what_changes_and_their_buttons_lead_back_to_the_page(browser: Client):
    make_deployment()

    page = browser.get("/deployments?sort=name").content.decode()
    part = browser.get("/deployments?sort=name&_f=lines").content.decode()

    assert 'data-live="deployments runs"' in page
    assert "<html" not in part
    assert part.count('name="back" value="/deployments?sort=name"') == 2


def test_the_state_of_a_failing_deployment_is_that_of_the_failed_run(browser: Client):
    made = make_deployment()
    failed = add_run(made, "FAILED", ago=2 * HOUR)
    add_run(made, "SCHEDULED", state_name="Late", ago=HOUR)

    (line,) = lines_at(browser)

    assert (line.health, line.shown_run.pk, line.is_late) == (Health.FAILING, failed.pk, True)
