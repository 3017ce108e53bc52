"""The schedule as the calendar of a month."""

from __future__ import annotations

import html
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils import timezone

from deployments.models import Deployment
from deployments.pages.month import DayCell
from deployments.pages.selectors import month as selectors
from deployments.pages.selectors import plan
from deployments.schedules.core import read_definition
from deployments.schedules.services.calendars import create_calendar
from runs.roll_ups.services import add_up
from tests.web.conftest import HOSTILE
from tests.web.deployments import HOURLY, NIGHTLY, add_run, make_deployment

DAY = timedelta(days=1)
BLACKOUT = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\n"
    "DTSTART;VALUE=DATE:{:%Y%m%d}\r\nSUMMARY:Freeze\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nUID:2\r\n"
    "DTSTAMP:20260101T000000Z\r\nDTSTART:20260101T020000Z\r\nDTEND:20260101T040000Z\r\nRRULE:FREQ=DAILY\r\n"
    "SUMMARY:Backup\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)


def next_month() -> date:
    return (timezone.now().date().replace(day=1) + 32 * DAY).replace(day=1)


def cells_of(answer: Any) -> dict[int, DayCell]:
    return {cell.found.day.day: cell for week in answer.context["weeks"] for cell in week if cell}


def month_at(browser: Client, month: date) -> dict[int, DayCell]:
    return cells_of(browser.get(f"/schedule?view=month&month={month:%Y-%m}"))


def planned_at(cell: DayCell) -> dict[str, str]:
    return {one.deployment.name: str(one.number) for one in cell.found.planned}


def make_excluded(text: str, schedule: dict[str, Any], name: str = "nightly") -> Deployment:
    """Make a deployment whose schedule leaves out a calendar from its first planned run on."""
    create_calendar(name="holidays", description="", ics=text, now=timezone.now())
    return make_deployment(name, schedules=[schedule], calendars=["holidays"])


def test_a_day_to_come_has_the_planned_runs_of_each_deployment_and_their_list(browser: Client):
    make_deployment("nightly", schedules=[NIGHTLY])
    hourly = make_deployment("hourly", schedules=[HOURLY])
    month = next_month()
    add_run(hourly, "SCHEDULED", ago=timezone.now() - datetime(month.year, month.month, 5, 10, 7, tzinfo=UTC))

    answer = browser.get(f"/schedule?view=month&month={month:%Y-%m}")
    page = answer.content.decode()
    links = re.findall(rf'href="([^"]+day={month:%Y-%m}-05)">([\d\u202f]+)<', page)
    listed = [browser.get(html.unescape(address)).context["ahead"] for address, _ in links]

    assert planned_at(cells_of(answer)[5]) == {"hourly": "25", "nightly": "1"}
    assert [number for _, number in links] == ["25", "1"]
    assert [(ahead.count.number, len(ahead.times)) for ahead in listed] == [(25, 25), (1, 1)]


def test_a_past_day_has_its_outcomes_and_the_lists_that_prove_them(browser: Client):
    made = make_deployment()
    day = (timezone.now() - 40 * DAY).date()
    noon = timezone.now() - datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    for state, number in (("COMPLETED", 3), ("FAILED", 1), ("CRASHED", 1), ("CANCELLED", 1)):
        for _ in range(number):
            add_run(made, state, ago=noon)
    add_run(made, ago=noon + DAY)

    cell = month_at(browser, day)[day.day]
    lists = [browser.get(one.address).context["found"] for one in cell.came]

    assert [(one.words, one.number.number) for one in cell.came] == [("completed", 3), ("failed", 2), ("other", 1)]
    assert [(found.count.number, len(found.page.rows)) for found in lists] == [(3, 3), (2, 2), (1, 1)]


def test_a_chosen_past_day_counts_the_runs_of_each_deployment(browser: Client, django_assert_max_num_queries):
    nightly, hourly = make_deployment("nightly"), make_deployment("hourly")
    day = (timezone.now() - 40 * DAY).date()
    noon = timezone.now() - datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    for made, state in ((nightly, "COMPLETED"), (nightly, "FAILED"), (hourly, "COMPLETED"), (nightly, "COMPLETED")):
        add_run(made, state, ago=noon)
        add_up()
    add_run(nightly, ago=noon)
    add_run(nightly, ago=noon - DAY)

    with django_assert_max_num_queries(12):
        answer = browser.get(f"/schedule?view=month&day={day}")
    found = {one.name: came for one, came in answer.context["past_runs"]}
    lists = [browser.get(one.address).context["found"].count.number for one in found["nightly"]]
    browser.post("/settings/browser", {"theme": "system", "density": "normal", "zone": "Asia/Kolkata"})
    elsewhere = browser.get(f"/schedule?view=month&day={day}")

    assert [(name, [one.number.number for one in came]) for name, came in found.items()] == [
        ("nightly", [3, 1]),
        ("hourly", [1]),
    ]
    assert lists == [3, 1]
    assert elsewhere.context["past_runs"] == []
    assert "All runs that were due.</span>" in elsewhere.content.decode()


def test_days_begin_at_midnight_of_the_reader_also_when_clocks_change(browser: Client):
    browser.post("/settings/browser", {"theme": "system", "density": "normal", "zone": "Europe/Berlin"})
    make_deployment(schedules=[HOURLY])
    year = timezone.now().year + 1

    march, october = (month_at(browser, date(year, month, 1)) for month in (3, 10))
    lengths = {cell.found.hours for cell in march.values()}, {cell.found.hours for cell in october.values()}

    assert lengths == ({23, 24}, {24, 25})
    assert all(
        planned_at(cell) == {"nightly": f"{cell.found.hours:g}"} for cell in (*march.values(), *october.values())
    )
    assert all(
        cell.found.begin.astimezone(ZoneInfo("Europe/Berlin")).hour == 0
        for cell in (*march.values(), *october.values())
    )


def test_the_hour_that_comes_twice_before_midnight_is_listed_with_its_day(browser: Client):
    browser.post("/settings/browser", {"theme": "system", "density": "normal", "zone": "America/Santiago"})
    make_deployment(schedules=[HOURLY])

    answer = browser.get("/schedule?view=month&day=2099-04-04")
    addresses = re.findall(r'href="([^"]+day=2099-04-04)">25<', answer.content.decode())
    (ahead,) = [browser.get(html.unescape(address)).context["ahead"] for address in set(addresses)]

    assert planned_at(cells_of(answer)[4]) == {"nightly": "25"}
    assert (ahead.count.number, len(ahead.times)) == (25, 25)


def test_a_day_that_a_calendar_excludes_says_so_in_words(browser: Client):
    month = next_month()
    make_excluded(BLACKOUT.format(month + 6 * DAY), HOURLY)

    answer = browser.get(f"/schedule?view=month&month={month:%Y-%m}")
    page = " ".join(answer.content.decode().split())
    cells = cells_of(answer)

    assert planned_at(cells[7]) == {}
    assert planned_at(cells[8]) == {"nightly": "22"}
    assert [one.summary for one in cells[7].found.left_out] == ["Freeze", "Backup"]
    assert re.search(r"Left out: <a [^>]*>Freeze</a>", page)
    assert re.search(r"Left out 02:00–04:00: <a [^>]*>Backup</a>", page)


def test_the_tracks_say_what_a_calendar_excludes(browser: Client):
    make_excluded(BLACKOUT.format(timezone.now().date() + DAY), HOURLY)

    answer = browser.get("/schedule?span=7d")

    assert answer.context["tracks"][0].left_out_path
    assert "Left out: Backup, Freeze" in answer.content.decode()


NEVER = "9999-12-31T23:59:59.999999"
LAST_EVENT = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART;VALUE=DATE:99991231\r\n"
    "DURATION:P9D\r\nSUMMARY:The end\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nUID:2\r\nDTSTART:99991231T235959Z\r\n"
    "DURATION:P9D\r\nSUMMARY:The end\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)


def test_the_last_moment_of_the_calendar_is_shown_in_every_zone(browser: Client):
    browser.post("/settings/browser", {"theme": "system", "density": "normal", "zone": "Asia/Tokyo"})
    made = make_excluded(LAST_EVENT, HOURLY)
    address = f"/deployments/{made.pk}"
    wanted = [
        {"schedule": {**HOURLY, "timezone": zone}, "ends_at": end}
        for zone, end in (("Asia/Tokyo", f"{NEVER}Z"), ("America/New_York", NEVER))
    ]
    wanted[1]["schedule"]["anchor_date"] = "0001-01-01T00:00:00Z"
    stored = browser.post(f"/api{address}/schedules", wanted, content_type="application/json")
    last = datetime.fromisoformat(f"{NEVER}+00:00")
    run = add_run(made, "SCHEDULED", ago=timezone.now() + timedelta(seconds=9) - last)

    pages = [
        *("/schedule?view=month", "/schedule", "/calendars", f"{address}?tab=schedules", f"{address}?tab=upcoming"),
        *(f"{address}/schedules/{one['id']}/edit" for one in stored.json()),
        *(f"/calendars/{one}" for one in made.schedules.values_list("calendars", flat=True) if one),
        f"/runs/{run.pk}",
    ]

    assert {one.ends_at for one in made.schedules.all()} == {None, last}
    assert [browser.get(page).status_code for page in pages] == [200] * 9


def test_times_by_the_second_are_calculated_and_others_end_at_a_bound(browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(selectors, "MOST_TIMES", 100)
    make_deployment("second", schedules=[{**HOURLY, "interval": 1}])
    make_deployment("often", schedules=[{"cron": "*/5 * * * *", "timezone": "Asia/Kolkata"}])
    make_deployment("offices", schedules=[{"cron": "*/10 7-20 * * *", "timezone": "UTC"}])
    hours = ",".join(str(hour) for hour in range(8, 18))
    make_deployment("rule", schedules=[{"rrule": f"FREQ=MINUTELY;INTERVAL=30;BYHOUR={hours}", "timezone": "UTC"}])

    address = f"/schedule?view=month&day={next_month():%Y-%m}"

    early, late = (browser.get(f"{address}-{day}").context["chosen"] for day in ("02", "20"))

    calculated = {"second": "86\u202f400", "often": "288", "offices": "84"}
    assert planned_at(early) == {**calculated, "rule": "20"}
    assert planned_at(late) == {**calculated, "rule": "None"}


NIGHTS = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:{}\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART:20260101T003000Z\r\n"
    "DTEND:20260102T000000Z\r\nRRULE:FREQ=DAILY\r\nSUMMARY:Night\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)


def test_a_search_that_a_calendar_ends_says_that_later_days_are_not_counted(
    browser: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(selectors, "MOST_TIMES", 500)
    make_excluded(NIGHTS.format("x"), {"cron": "* * * * *", "timezone": "UTC"}, "minutely")

    cells = month_at(browser, next_month())

    assert planned_at(cells[1]) == {"minutely": "30"}
    assert planned_at(cells[2]) == planned_at(cells[28]) == {"minutely": "None"}
    assert planned_at(month_at(browser, next_month())[28]) == {"minutely": "None"}


def test_calendars_stay_read_up_to_the_size_of_their_texts(monkeypatch: pytest.MonkeyPatch):
    texts = [(NIGHTS.format(number),) for number in range(60)]

    first, second = ([plan.exclusions_in(text) for text in texts] for _ in range(2))
    monkeypatch.setattr(plan, "MOST_CHARACTERS", 3 * len(texts[0][0]))
    third, fourth = ([plan.exclusions_in(text) for text in ((NIGHTS.format("y"),), *texts)] for _ in range(2))

    assert all(one is other for one, other in zip(first, second, strict=True))
    assert not any(one is other for one, other in zip(third, fourth, strict=True))


@pytest.mark.parametrize(
    "definition",
    [
        {"cron": "*/7 * * * *"},
        {"cron": "5,50 * * * *"},
        {"interval": 420.5},
        {"cron": "5 * * * *", "spread": 600, "spread_by": 90},
        {"cron": "*/10 1-20 * * *"},
        {"cron": "0,30 * * * 0", "spread": 600, "spread_by": 90},
    ],
)
def test_calculated_numbers_are_those_of_the_times(definition: dict[str, Any]):
    timetable = read_definition({**definition, "timezone": "Europe/Berlin"})
    begin = datetime(2026, 10, 24, 21, 49, 3, tzinfo=UTC)
    times = [begin, begin + timedelta(minutes=1), begin + timedelta(hours=30, seconds=57)]

    counted = [timetable.number_between(begin, end) for end in times]

    named = list(zip(range(1_000), timetable.after(begin, inclusive=True), strict=False))
    assert counted == [sum(at < end for _, at in named) for end in times]


def test_a_chosen_day_names_all_deployments_and_other_days_a_few(browser: Client):
    for number in range(6):
        make_deployment(f"d-{number}", schedules=[NIGHTLY])
    month = next_month()

    answer = browser.get(f"/schedule?view=month&month={month:%Y-%m}&day={month:%Y-%m}-09")
    page = answer.content.decode()

    assert len(answer.context["chosen"].found.planned) == 6
    assert cells_of(answer)[10].others == 3
    assert "and 3 more" in page


@pytest.mark.parametrize("query", ["month=x", "month=2026-13", "month=9999-12", "month=0001-01", "day=x"])
def test_an_address_that_names_no_month_shows_this_one(browser: Client, query: str):
    answer = browser.get(f"/schedule?view=month&{query}")

    assert any(cell.is_today for cell in cells_of(answer).values())


def test_the_month_costs_few_queries_for_many_deployments(browser: Client, django_assert_max_num_queries):
    for number in range(10):
        made = make_deployment(f"d-{number}", flow=HOSTILE.replace("/", ""), schedules=[HOURLY])
        add_run(made, ago=DAY)

    with django_assert_max_num_queries(9):
        answer = browser.get("/schedule?view=month")

    assert HOSTILE not in answer.content.decode()
