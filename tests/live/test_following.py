"""Changes that other processes recorded are found by the rows that they added."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from deployments.models import Worker, WorkPool
from events.models import ActionRun, Automation, Event
from orchestration.services import propose_flow_run_state, propose_task_run_state
from orion_site.live import following
from orion_site.live.following import COMPARED, Follower, family_of
from runs.models import FlowRunState, TaskRun, TaskRunState
from tests.conftest import DATABASE
from tests.factories import make_flow_run, make_log, make_state, make_task_run

pytestmark = pytest.mark.django_db(transaction=True)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def follower() -> Follower:
    """It has looked once already."""
    found = Follower(now())
    found.read(now())
    return found


def test_new_states_are_found_once(follower: Follower):
    flow_run = make_flow_run()
    task_run = make_task_run(flow_run=flow_run)

    first, second = follower.read(now()), follower.read(now())

    assert set(first[0]) == {("flow-run", flow_run.id), ("task-run", task_run.id)}
    assert second == ([], set(), set())


def test_usual_states_of_task_runs_are_found_by_the_times_of_the_run(follower: Follower):
    task_run = make_task_run("PENDING", now=now())
    found = [follower.read(now())[0]]
    for state in ("RUNNING", "COMPLETED"):
        propose_task_run_state(run_id=task_run.id, proposed=make_state(state), now=now())
        found.append(follower.read(now())[0])

    assert not TaskRunState.objects.exists()
    assert [("task-run", task_run.id) in one for one in found] == [True] * 3
    assert follower.read(now()) == ([], set(), set())


def test_steps_that_were_reported_late_are_shown_with_the_next_state_of_their_flow_run(follower: Follower):
    flow_run, a_while_ago = make_flow_run(), now() - timedelta(seconds=30)
    task_run = make_task_run("PENDING", flow_run=flow_run, now=a_while_ago)
    follower.read(now())

    for state in ("RUNNING", "COMPLETED"):
        proposed = make_state(state, timestamp=a_while_ago)
        propose_task_run_state(run_id=task_run.id, proposed=proposed, now=a_while_ago)
    late = follower.read(now())
    propose_flow_run_state(run_id=flow_run.id, proposed=make_state("COMPLETED"), now=now())
    changed, _, _ = follower.read(now())

    assert late == ([], set(), set())
    assert f"run:{flow_run.id}:tasks" in follower.topics_of(changed)


def test_a_follower_begins_where_the_page_was_read():
    since = now()
    run = make_flow_run()

    assert Follower(since).read(now() + timedelta(minutes=5))[0] == [("flow-run", run.id)]


def test_a_run_has_its_own_topics_and_those_of_all_that_show_it(follower: Follower):
    flow_run = make_flow_run()
    task_run = make_task_run(flow_run=flow_run)

    assert follower.topics_of([("flow-run", flow_run.id)]) >= {f"run:{flow_run.id}", "runs", f"flow:{flow_run.flow_id}"}
    assert follower.topics_of([("task-run", task_run.id)]) >= {f"task:{task_run.id}", f"run:{flow_run.id}:tasks"}


def test_changes_announced_by_this_process_are_not_new_and_are_checked_later(follower: Follower):
    own, other = make_flow_run(), make_flow_run()
    follower.known_topics([("flow-run", own.id)])

    changed, _, _ = follower.read(now())

    assert changed == [("flow-run", other.id)]
    assert follower.take_repeated() == {("flow-run", own.id)}
    assert follower.take_repeated() == set()


def test_a_change_that_was_announced_long_ago_hides_no_later_one(follower: Follower, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(following, "ANNOUNCED_SECONDS", 0)
    run = make_flow_run()
    follower.known_topics([("flow-run", run.id)])

    assert follower.read(now())[0] == [("flow-run", run.id)]


def test_topics_are_known_without_a_question_once_they_were_asked(follower: Follower, django_assert_num_queries):
    run = ("flow-run", make_flow_run().id)
    assert follower.known_topics([run]) == (set(), [run])
    topics = follower.topics_of([run])

    with django_assert_num_queries(0):
        assert follower.known_topics([run]) == (topics, [])


def test_the_flow_and_deployment_of_a_run_are_read_once(follower: Follower, django_assert_num_queries):
    runs = [("flow-run", make_flow_run().id) for _ in range(5)]

    with django_assert_num_queries(1):
        follower.topics_of(runs)
        follower.topics_of(runs)


def test_a_change_beside_more_new_runs_than_are_remembered_has_all_topics(
    follower: Follower, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(following, "MOST_RELATIONS", 3)
    known, *others = (make_task_run() for _ in range(5))
    follower.topics_of([("task-run", known.id)])

    topics = follower.topics_of([("task-run", one.id) for one in [known, *others]])

    assert topics >= {f"run:{one.flow_run_id}:tasks" for one in [known, *others]}
    assert len(follower._relations) == 3


def test_a_run_that_no_longer_exists_is_still_a_change(follower: Follower):
    run = make_flow_run()
    run_id, flow_id = run.id, run.flow_id
    run.delete()

    topics = follower.topics_of([("flow-run", run_id)])

    assert {f"run:{run_id}", "runs"} <= topics
    assert f"flow:{flow_id}" not in topics


def test_new_lines_are_found_by_their_runs(follower: Follower):
    run = make_flow_run()
    task = make_task_run(flow_run=run)
    follower.read(now())
    make_log(flow_run=run, task_run_id=task.id)

    assert follower.read(now())[1] == {f"run:{run.id}:log", f"task:{task.id}:log"}


def test_more_rows_than_can_be_read_are_everything(follower: Follower, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(following, "MOST_ROWS", 3)
    for _ in range(5):
        make_flow_run()

    assert follower.read(now())[2] == {"runs"}
    # They are read, and the next look finds only what is new since.
    assert follower.read(now()) == ([], set(), set())


def test_task_runs_and_lines_that_cannot_be_read_are_named_apart(follower: Follower, monkeypatch: pytest.MonkeyPatch):
    run = make_flow_run()
    follower.read(now())
    monkeypatch.setattr(following, "MOST_ROWS", 3)
    monkeypatch.setattr(following, "MOST_READ", 3)
    for _ in range(5):
        make_task_run(flow_run=run)
    tasks = follower.read(now())[2]
    for _ in range(5):
        make_log(flow_run=run)

    # The last rows of ten seconds are still too many.
    assert (tasks, follower.read(now())[2]) == ({"tasks"}, {"tasks", "lines"})


def test_thousands_of_new_task_runs_are_read_one_by_one(follower: Follower):
    run, known = make_flow_run(), now()
    made = [
        TaskRun(flow_run=run, task_key="t", dynamic_key=str(number), name="t", start_time=known, end_time=known)
        for number in range(2000)
    ]
    TaskRun.objects.bulk_create(made)

    changed, _, too_many = follower.read(now())

    assert {one for kind, one in changed if kind == "task-run"} == {one.id for one in made}
    assert too_many == set()
    assert follower.read(now()) == ([], set(), set())


@pytest.mark.parametrize(("kind", "family"), [("task-run", "tasks"), ("flow-run", "runs"), ("agent", "runs")], ids=str)
def test_each_topic_belongs_to_the_family_of_what_changes_it(kind: str, family: str):
    run, related = make_flow_run(), (uuid4(), uuid4())[: 2 if kind == "flow-run" else 1]
    # A flow run's change may be the first sign of its tasks', and too many changes of flow runs name everything.
    topics = following._topics(kind, run.id, related) - ({f"run:{run.id}:tasks"} if kind == "flow-run" else set())

    assert {family_of(topic) for topic in topics} == {family}
    assert family_of(f"run:{run.id}:log") == family_of(f"task:{run.id}:log") == "lines"
    assert {family_of(topic) for topic in COMPARED} == {"runs", "tasks"}


@pytest.mark.skipif(DATABASE != "sqlite", reason="only SQLite gives numbers of deleted rows to others")
def test_rows_that_took_the_numbers_of_deleted_ones_are_not_missed(follower: Follower):
    make_flow_run()
    follower.read(now())
    FlowRunState.objects.all().delete()
    make_flow_run()

    assert follower.read(now())[2] == {"runs"}


def test_events_automations_and_notifications_are_compared_by_the_ends_of_their_indexes(follower: Follower):
    topics = ["events", "automations", "notifications"]
    event = Event.objects.create(event="shop.paid", occurred=now(), resource_id="order.1")
    follower.compare(topics)

    Event.objects.update(pending=False)
    judged = follower.compare(topics)
    automation = Automation.objects.create(name="watch", trigger={})
    made = follower.compare(topics)
    action = ActionRun.objects.create(id=event.pk, automation=automation, action={})
    set_off = follower.compare(topics)
    ActionRun.objects.filter(pk=action.pk).update(done_at=now())
    done = follower.compare(topics)

    assert [judged, made, set_off, done] == [{"events"}, {"automations"}, {"automations"}, {"automations"}]
    assert follower.compare(topics) == set()


def test_tables_whose_rows_change_are_compared(follower: Follower):
    # A page may have read them just before they were changed, and the first look came after that.
    assert follower.compare(["work", "agents"]) == {"work", "agents"}
    pool = WorkPool.objects.create(name="pool", type="process")
    after_pool = follower.compare(["work", "agents"])
    Worker.objects.create(name="w1", work_pool=pool)

    assert after_pool == {"work"}
    assert follower.compare(["work", "agents"]) == {"agents"}
    assert follower.compare(["work", "agents"]) == set()
