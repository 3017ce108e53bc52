"""Planning against an obvious model: what an active schedule names has exactly its run, unless somebody took, moved,
cancelled or deleted it; whatever is changed, redeployed, paused or deleted around it, and however time passes."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from deployments.schedules.services import changes, planning
from deployments.schedules.services import schedules as services
from deployments.schedules.services.changes import Owners
from deployments.schedules.services.planning import plan_due_schedules
from orionflow import flow
from orionflow.calls.deployments import create_deployment
from orionflow.cli.deploy.apply import body_of
from orionflow.cli.deploy.diff import SAME, plan_for
from orionflow.cli.deploy.orion_yaml import deployments_of
from runs.models import FlowRun
from tests.api.conftest import Api
from tests.rounds import THOROUGH, rounds
from tests.travelling import travelled

pytestmark = pytest.mark.django_db

ROUNDS = rounds(4)
STEPS = 25 if THOROUGH else 12
START = datetime(2026, 1, 5, 8, 7, 30, tzinfo=UTC)
ANCHOR = datetime(2026, 1, 1, 0, 0, 20, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
_worlds = count(1)


@flow
def census(n: int = 0, deep: bool = False) -> int:
    return n


FLOWS = """
from orionflow import flow


@flow
def census(n: int = 0, deep: bool = False) -> int:
    return n
"""


# --- what schedules mean, as anybody would work it out ---


def at_minutes(fits: Callable[[datetime], bool]) -> Callable[[datetime], Iterator[datetime]]:
    def after(moment: datetime) -> Iterator[datetime]:
        at = moment.replace(second=0, microsecond=0)
        while True:
            at += MINUTE
            if fits(at):
                yield at

    return after


def every(seconds: int, anchor: datetime) -> Callable[[datetime], Iterator[datetime]]:
    def after(moment: datetime) -> Iterator[datetime]:
        number = (moment - anchor) // timedelta(seconds=seconds) + 1
        while True:
            yield anchor + number * timedelta(seconds=seconds)
            number += 1

    return after


@dataclass(frozen=True)
class Spec:
    """A schedule as it is defined. `anchor` is the one that the server chose where the definition has none."""

    kind: str
    deep: bool = False
    active: bool = True
    anchor: datetime | None = None

    def definition(self) -> dict[str, Any]:
        return dict(DEFINITIONS[self.kind])

    def after(self, moment: datetime) -> Iterator[datetime]:
        if self.kind == "unanchored":
            assert self.anchor is not None
            return every(2400, self.anchor)(moment)
        return TIMES[self.kind](moment)

    def parameters(self) -> dict[str, Any]:
        return {"deep": True} if self.deep else {}

    def on_the_wire(self) -> dict[str, Any]:
        return {"schedule": self.definition(), "active": self.active, "parameters": self.parameters()}

    def in_a_file(self) -> dict[str, Any]:
        return {**self.definition(), "active": self.active, "parameters": self.parameters()}


DEFINITIONS: dict[str, dict[str, Any]] = {
    "hourly": {"cron": "0 * * * *"},
    "half-hourly": {"cron": "*/30 * * * *"},
    "even hours": {"cron": "0 */2 * * *"},
    "quarter past": {"cron": "15 * * * *"},
    "rule": {"rrule": "FREQ=HOURLY;INTERVAL=3;BYMINUTE=0,30"},
    "anchored": {"interval": 5400, "anchor_date": ANCHOR.isoformat()},
    "unanchored": {"interval": 2400},
}
TIMES = {
    "hourly": at_minutes(lambda at: at.minute == 0),
    "half-hourly": at_minutes(lambda at: at.minute in (0, 30)),
    "even hours": at_minutes(lambda at: at.minute == 0 and at.hour % 2 == 0),
    "quarter past": at_minutes(lambda at: at.minute == 15),
    # Without a beginning rules count from 2020-01-01.
    "rule": at_minutes(
        lambda at: at.minute in (0, 30) and ((at - datetime(2020, 1, 1, tzinfo=UTC)) // timedelta(hours=1)) % 3 == 0
    ),
    "anchored": every(5400, ANCHOR),
}


@dataclass
class Stored:
    """A schedule that is stored, with its id."""

    spec: Spec
    id: str

    @property
    def owner(self) -> str | None:
        """The schedule's id as the owner of its runs; schedules without parameters share their runs, under None."""
        return self.id if self.spec.deep else None


@dataclass
class Decided:
    """The changes that were made to planned runs, by the owner and time of the run."""

    taken: set[tuple[str | None, datetime]] = field(default_factory=set)
    cancelled: set[tuple[str | None, datetime]] = field(default_factory=set)
    deleted: set[tuple[str | None, datetime]] = field(default_factory=set)
    moved: dict[tuple[str | None, datetime], datetime] = field(default_factory=dict)


specs = st.builds(
    Spec,
    # Mostly kinds with times in common, because only such schedules can affect each other's runs.
    kind=st.sampled_from([*["hourly", "half-hourly", "even hours"] * 3, *sorted(DEFINITIONS)]),
    deep=st.sampled_from([False, False, False, True]),
    active=st.sampled_from([True, True, True, True, False]),
)
places = st.integers(0, 99)
moments = st.integers(1, 300).map(lambda minutes: timedelta(minutes=minutes, seconds=17))


class Planning(RuleBasedStateMachine):
    """One deployment whose schedules and planned runs are changed in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.travel = travelled(START)
        self.traveller = self.travel.__enter__()
        self.now = START
        self.api = Api(raise_request_exception=True)
        self.name = f"world-{next(_worlds)}"
        self.queue = f"queue-of-{self.name}"
        self.flow_id = self.api.send("/flows/", {"name": "census"}).json()["id"]
        self.stored: list[Stored] = []
        self.decided = Decided()
        self.n, self.paused, self.has_queue = 0, False, True
        answer = self.api.send("/deployments/", {"name": self.name, "flow_id": self.flow_id, **self._whole()})
        self.id = answer.json()["id"]
        self.path = f"/deployments/{self.id}"

    def teardown(self) -> None:
        self.ok(self.api.call("DELETE", self.path))
        self.travel.__exit__(None, None, None)

    @initialize(wanted=st.lists(specs, min_size=2, max_size=4))
    def deploy(self, wanted: list[Spec]) -> None:
        self.redeploy(wanted, False, "POST")

    # --- redeploying, by every way ---

    @rule(wanted=st.lists(specs, max_size=4), keep=st.booleans(), way=st.sampled_from(["POST", "PATCH", "file", "SDK"]))
    def redeploy(self, wanted: list[Spec], keep: bool, way: str) -> None:
        if keep:
            wanted = [one.spec for one in self.stored] + wanted[:1]
        with self.step():
            getattr(self, f"_by_{way.lower()}")(wanted)
            self._schedules_are(wanted)

    @rule(way=st.sampled_from(["POST", "PATCH", "file", "SDK"]))
    def redeploy_unchanged(self, way: str) -> None:
        wanted, before = [one.spec for one in self.stored], self._ids()
        ids = [one.id for one in self.stored]
        with self.step():
            getattr(self, f"_by_{way.lower()}")(wanted)
            self._schedules_are(wanted)
        assert sorted(one.id for one in self.stored) == sorted(ids)
        assert before.items() <= self._ids().items()

    def _by_post(self, wanted: Sequence[Spec]) -> None:
        schedules = [one.on_the_wire() for one in wanted]
        body = {"name": self.name, "flow_id": self.flow_id, **self._whole(), "schedules": schedules}
        self.ok(self.api.send("/deployments/", body))
        self.has_queue = True

    def _by_patch(self, wanted: Sequence[Spec]) -> None:
        self.ok(self.api.call("PATCH", self.path, {"schedules": [one.on_the_wire() for one in wanted]}))

    def _by_sdk(self, wanted: Sequence[Spec]) -> None:
        schedules = [one.in_a_file() for one in wanted]
        deployment = census.to_deployment(self.name, schedules=schedules, entrypoint="x.py:census", **self._whole())
        call = create_deployment(self.flow_id, self.name, **deployment.to_wire())
        self.ok(self.api.call(call.method, call.path, call.body))
        self.has_queue = True

    def _by_file(self, wanted: Sequence[Spec]) -> None:
        whole = self._whole()
        entry = {"name": self.name, "entrypoint": "flows.py:census", "schedules": [one.in_a_file() for one in wanted]}
        entry |= {"parameters": whole["parameters"], "paused": self.paused, "work_queue": self.queue}
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "flows.py").write_text(FLOWS)
            path = Path(folder, "orion.json")
            path.write_text(json.dumps({"name": "laws", "deployments": [entry]}))
            (deployment,), _ = deployments_of(path)
        body = body_of(deployment, "laws")
        plan = plan_for(self.name, body, self.api.read(self.path).json())
        if plan.kind != SAME:
            self.ok(self.api.send("/deployments/", {"flow_id": self.flow_id, "name": self.name, **body}))
        self.has_queue = True

    def _whole(self) -> dict[str, Any]:
        return {"parameters": {"n": self.n}, "paused": self.paused, "work_queue_name": self.queue}

    def _schedules_are(self, wanted: Sequence[Spec]) -> None:
        """Check that the schedules are those that were wanted, and that those that stayed are the rows of before."""
        old = {one.id: one.spec for one in self.stored}
        answer = self.api.read(self.path).json()["schedules"]
        self.stored = [Stored(self._spec_of(one, old), one["id"]) for one in answer]
        assert Counter(map(_plain, wanted)) == Counter(_plain(one.spec) for one in self.stored)
        for same in (_plain, lambda spec: spec.kind):
            before, after = Counter(map(same, old.values())), Counter(same(one) for one in wanted)
            kept = Counter(
                same(one.spec) for one in self.stored if one.id in old and same(old[one.id]) == same(one.spec)
            )
            assert kept >= before & after

    def _spec_of(self, answer: dict[str, Any], old: dict[str, Spec]) -> Spec:
        kind = next(
            name
            for name, one in DEFINITIONS.items()
            if all(answer["schedule"].get(field) == value for field, value in one.items() if field != "anchor_date")
        )
        anchor = None
        if kind == "unanchored":
            known = old.get(answer["id"])
            anchor = known.anchor if known and known.kind == kind else self.now
            assert datetime.fromisoformat(answer["schedule"]["anchor_date"]) == anchor
        return Spec(kind, deep=bool(answer.get("parameters")), active=answer["active"], anchor=anchor)

    # --- single schedules ---

    @rule(spec=specs)
    def add(self, spec: Spec) -> None:
        with self.step():
            (made,) = self.ok(self.api.send(f"{self.path}/schedules", [spec.on_the_wire()]))
            self.stored.append(Stored(self._spec_of(made, {}), made["id"]))

    @precondition(lambda self: self.stored)
    @rule(place=places, spec=specs, fields=st.sets(st.sampled_from(["schedule", "active", "parameters"]), min_size=1))
    def change(self, place: int, spec: Spec, fields: set[str]) -> None:
        one = self.stored[place % len(self.stored)]
        body = {name: value for name, value in spec.on_the_wire().items() if name in fields}
        with self.step():
            self.ok(self.api.call("PATCH", f"{self.path}/schedules/{one.id}", body))
            before = one.spec
            kind = spec.kind if "schedule" in fields else before.kind
            anchor = None if kind != "unanchored" else before.anchor if before.kind == kind else self.now
            one.spec = Spec(
                kind,
                spec.deep if "parameters" in fields else before.deep,
                spec.active if "active" in fields else before.active,
                anchor,
            )

    @precondition(lambda self: self.stored)
    @rule(place=places)
    def delete(self, place: int) -> None:
        one = self.stored.pop(place % len(self.stored))
        with self.step():
            self.ok(self.api.call("DELETE", f"{self.path}/schedules/{one.id}"))

    # --- the deployment ---

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        with self.step():
            self.ok(self.api.call("PATCH", self.path, {"paused": paused}))
            self.paused = paused

    @precondition(lambda self: len(self.stored) < 2)
    @rule(paused=st.booleans())
    def pause_as_older_clients_do(self, paused: bool) -> None:
        with self.step():
            self.ok(self.api.send(f"{self.path}/{'pause' if paused else 'resume'}_deployment"))
            self.paused = paused
            for one in self.stored:
                one.spec = replace(one.spec, active=not paused)

    @rule(n=st.integers(0, 3))
    def give_parameters(self, n: int) -> None:
        with self.step(parameters_change=n != self.n):
            self.ok(self.api.call("PATCH", self.path, {"parameters": {"n": n}}))
            self.n = n

    @rule(change=st.sampled_from([{"description": "x"}, {"tags": ["a"]}, {"version": "2"}, {"overlap": "queue"}]))
    def edit(self, change: dict[str, Any]) -> None:
        before = self._ids()
        with self.step():
            self.ok(self.api.call("PATCH", self.path, change))
        assert before.items() <= self._ids().items()

    @rule(whole_pool=st.booleans())
    def delete_the_queue(self, whole_pool: bool) -> None:
        pool = "/work_pools/default-agent-pool"
        with self.step():
            if self.has_queue:
                self.ok(
                    self.api.call(
                        "DELETE", f"{pool}?force=true" if whole_pool else f"{pool}/queues/{self.queue}?force=true"
                    )
                )
            self.has_queue = False

    @rule()
    def make_the_queue(self) -> None:
        with self.step():
            if not self.has_queue:
                self.ok(self.api.send("/work_queues/", {"name": self.queue}))
            self.has_queue = True

    # --- runs ---

    @rule(place=places, to=moments)
    def move(self, place: int, to: timedelta) -> None:
        if (run := self._pick(place)) and run.next_scheduled_start_time > self.now:
            time = (self.now + to).isoformat()
            state = {"type": "SCHEDULED", "state_details": {"scheduled_time": time}}
            with self.step():
                self._set_state(run, state)
                self.decided.moved[_key(run)] = self.now + to

    @rule(place=places)
    def cancel(self, place: int) -> None:
        if run := self._pick(place):
            with self.step():
                self._set_state(run, {"type": "CANCELLED"})
                self.decided.cancelled.add(_key(run))

    @rule(place=places)
    def take(self, place: int) -> None:
        if run := self._pick(place):
            with self.step():
                self._set_state(run, {"type": "PENDING"})
                self.decided.taken.add(_key(run))

    @rule(place=places)
    def delete_run(self, place: int) -> None:
        if run := self._pick(place):
            with self.step(deleted=run):
                self.ok(self.api.call("DELETE", f"/flow_runs/{run.pk}"))
                self.decided.deleted |= {_key(run), (str(run.schedule_id), run.expected_start_time)}

    def _pick(self, place: int) -> FlowRun | None:
        waiting = [run for run in self._runs() if run.state_type == "SCHEDULED"]
        return waiting[place % len(waiting)] if waiting else None

    def _set_state(self, run: FlowRun, state: dict[str, Any]) -> None:
        self.ok(self.api.send(f"/flow_runs/{run.pk}/set_state", {"state": state, "force": True}))

    @rule(minutes=st.integers(1, 90))
    def wait(self, minutes: int) -> None:
        self._wait(timedelta(minutes=minutes))

    @rule(minutes=st.integers(91, 1000))
    def be_away(self, minutes: int) -> None:
        self._wait(timedelta(minutes=minutes))

    def _wait(self, span: timedelta) -> None:
        before = self._ids()
        self.now += span
        self.traveller.move_to(self.now)
        with self.step():
            pass
        assert before.items() <= self._ids().items()

    # --- the laws ---

    def step(self, *, parameters_change: bool = False, deleted: FlowRun | None = None) -> Step:
        return Step(self, parameters_change, deleted)

    def ok(self, answer: Any) -> Any:
        assert answer.status_code < 300, answer.content
        return answer.json() if answer.content else None

    def _runs(self) -> list[FlowRun]:
        runs = FlowRun.objects.filter(deployment_id=self.id, auto_scheduled=True)
        return list(runs.order_by("expected_start_time", "idempotency_key"))

    def _ids(self) -> dict[str, Any]:
        return {run.idempotency_key: run.pk for run in self._runs()}

    def planned(self) -> list[Stored]:
        return [] if self.paused else [one for one in self.stored if one.spec.active]

    def is_named(self, key: tuple[str | None, datetime]) -> bool:
        owner, at = key
        tick = timedelta(microseconds=1)
        return any(one.owner == owner and next(one.spec.after(at - tick)) == at for one in self.planned())

    def check(self) -> None:
        runs = {_key(run): run for run in self._runs()}
        assert len(runs) == len(self._runs())
        self.decided.moved = {key: at for key, at in self.decided.moved.items() if self.is_named(key)}
        for one in self.planned():
            self._has_its_runs(one, runs)
        for key, run in runs.items():
            if run.state_type == "SCHEDULED":
                self._is_wanted(key, run)

    def _has_its_runs(self, one: Stored, runs: dict[tuple[str | None, datetime], FlowRun]) -> None:
        times = list(islice(one.spec.after(self.now), 30))
        for number, at in enumerate(times):
            if number >= 3 and at > self.now + timedelta(minutes=30):
                break
            key = (one.owner, at)
            if key in self.decided.deleted or (one.id, at) in self.decided.deleted:
                continue
            assert key in runs, f"{one.spec} has no run at {at}"
            if key in self.decided.cancelled:
                assert runs[key].state_type == "CANCELLED"
            elif key in self.decided.taken:
                assert runs[key].state_type == "PENDING"
            else:
                assert runs[key].state_type == "SCHEDULED"
                assert runs[key].next_scheduled_start_time == self.decided.moved.get(key, at)

    def _is_wanted(self, key: tuple[str | None, datetime], run: FlowRun) -> None:
        owner, at = key
        assert key not in self.decided.deleted
        assert not self.paused
        if run.next_scheduled_start_time > self.now:
            assert self.is_named(key), f"nobody wants the run at {at}"
            assert run.parameters == {"n": self.n, **({"deep": True} if owner else {})}
        if self.has_queue:
            queue = self.api.read(f"/work_queues/name/{self.queue}").json()
            assert str(run.work_queue_id) == queue["id"]


class Step:
    """Something that is done, and what may have become of the runs that were there before."""

    def __init__(self, world: Planning, parameters_change: bool, deleted: FlowRun | None) -> None:
        self.world, self.parameters_change, self.deleted = world, parameters_change, deleted

    def __enter__(self) -> None:
        self.before = self.world._runs()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is not None:
            return
        world = self.world
        plan_due_schedules(world.now)
        world.check()
        after = world._ids()
        for run in self.before:
            if self.deleted is not None and run.pk == self.deleted.pk:
                assert run.idempotency_key not in after
            elif self._stays(run):
                assert after.get(run.idempotency_key) == run.pk, f"the run at {run.expected_start_time} is gone"

    def _stays(self, run: FlowRun) -> bool:
        if run.state_type != "SCHEDULED" or self.world.is_named(_key(run)):
            is_moved = _key(run) in self.world.decided.moved
            return not self.parameters_change or run.state_type != "SCHEDULED" or is_moved
        is_due = run.next_scheduled_start_time <= self.world.now
        inactive = {one.id for one in self.world.stored if not one.spec.active}
        return is_due and not self.world.paused and str(run.schedule_id) not in inactive


def _key(run: FlowRun) -> tuple[str | None, datetime]:
    """Who else has a run at this time has another key."""
    parts = str(run.idempotency_key).split(" ")
    return (parts[3] if len(parts) > 3 else None), run.expected_start_time


def _plain(spec: Spec) -> Spec:
    return replace(spec, anchor=None)


def lived(worlds: int, steps: int, **more: Any) -> None:
    run_state_machine_as_test(
        Planning,
        settings=settings(
            max_examples=worlds,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # Shrinking a failure takes minutes, and a dozen steps can be read without it.
            phases=[Phase.generate],
            report_multiple_bugs=False,
            **more,
        ),
    )


def test_planned_runs_agree_with_a_simple_model():
    lived(ROUNDS, STEPS)


def test_a_run_stays_with_a_schedule_that_takes_it_over_with_the_parameters_that_it_has():
    world = Planning()
    try:
        world.deploy([Spec("even hours"), Spec("half-hourly", deep=True)])
        world.redeploy([Spec("half-hourly")], False, "PATCH")
    finally:
        world.teardown()


def walked() -> None:
    """One life of a deployment in which each of the laws matters."""
    world = Planning()
    try:
        world.deploy([Spec("hourly"), Spec("half-hourly"), Spec("even hours", deep=True)])
        world.wait(23)
        world.delete_run(2)
        world.redeploy_unchanged("SDK")
        world.delete([one.spec.kind for one in world.stored].index("hourly"))
        world.pause(True)
        world.pause(False)
    finally:
        world.teardown()


def test_a_life_in_which_each_law_matters_keeps_them():
    walked()


@pytest.mark.turns
@pytest.mark.parametrize(
    ("where", "name", "fault"),
    [
        (Owners, "_sharing", ()),
        (changes, "_is_paused", lambda run, after: False),
        (planning, "skipped_times", lambda schedules: {}),
        (services, "_twins", lambda stored, wanted, now: {}),
    ],
)
def test_a_planted_fault_breaks_a_law(monkeypatch, where, name, fault):
    monkeypatch.setattr(where, name, fault)

    with pytest.raises(AssertionError):
        walked()
