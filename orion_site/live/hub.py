"""The hub: which websockets show which topics, and what changed. Each server process has one, on its event loop.

Changes are numbered. A page contains the number at the time when it began to read the database, and its websocket
starts from there, so that no change is missed in between. Only the last change of each topic is kept, so memory grows
with the topics that are shown, not with the changes.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Awaitable, Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from secrets import token_hex
from typing import TypeVar

from django.utils import timezone

from orchestration.database_clock import current_time
from orchestration.outages import is_outage, outage
from orchestration.transactions import with_usable_connection
from orion_site.live.changes import Changed, noted
from orion_site.live.following import COMPARED, Family, Follower, family_of

T = TypeVar("T")

logger = logging.getLogger("orion.live")

TAKE_EVERY_SECONDS = 0.03
FOLLOW_EVERY_SECONDS = 0.25
COMPARE_EVERY_SECONDS = 2.0
# Each topic is sent to a websocket at most four times a second, so that a topic that changes all the time does not
# flood it, and does not delay other topics.
PAUSE_SECONDS = 0.25
# Pages that get a message at the same moment request their parts at the same moment. AT_ONCE of them may do so; other
# idle websockets follow one by one. Those that got a message recently are spread already.
AT_ONCE = 24
STAGGER_SECONDS = 0.001
# Seconds in which an opened page connects its websocket; after that, it counts as closed.
AWAKE_SECONDS = 60.0
AWAKE_CHECK_SECONDS = 1.0
# The times of changes, for pages that were read from a replica, and how much the clocks of both databases may differ.
MOST_TIMES = 4096
CLOCKS_DIFFER = timedelta(seconds=2)
MOST_REMEMBERED_TOPICS = 20_000
MOST_TOPICS_OF_A_SOCKET = 64
LONGEST_TOPIC = 64


class Seat:
    """The topics that one websocket shows, and those that changed since they were last sent to it."""

    def __init__(self) -> None:
        self.topics: frozenset[str] = frozenset()
        # Each with the number before the first of its changes that were not sent.
        self._changed: dict[str, int] = {}
        # When each topic was last sent.
        self._named: dict[str, float] = {}
        # The number before changes that are unknown.
        self._behind_since: int | None = None
        self._looked_at = 0.0
        self._woken = asyncio.Event()
        self._taken_at = 0.0
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        return time.monotonic() > self._taken_at + PAUSE_SECONDS

    @property
    def lacks_since(self) -> int | None:
        """The number before the first change that was not sent; None if all were."""
        unsent = [*self._changed.values(), *([] if self._behind_since is None else [self._behind_since])]
        return min(unsent, default=None)

    def note(self, topics: Iterable[str], since: int, *, after: float = 0) -> None:
        """Send these topics, which changed after the number `since`."""
        topics = set(topics)
        if topics:
            for topic in topics:
                self._changed.setdefault(topic, since)
            self._wake(max(after, self._pause(topics)))

    def fall_behind(self, since: int, *, after: float = 0) -> None:
        """Refresh the page completely, because the changes after the number `since` are unknown."""
        if self._behind_since is None:
            self._behind_since = since
        self._wake(max(after, self._looked_at + PAUSE_SECONDS - time.monotonic()))

    def wake(self) -> None:
        self._woken.set()

    def _pause(self, topics: Iterable[str]) -> float:
        """Return the seconds until the first of these topics may be sent again."""
        return min(self._named.get(topic, 0.0) for topic in topics) + PAUSE_SECONDS - time.monotonic()

    def _wake(self, after: float) -> None:
        if after <= 0:
            self._woken.set()
            return
        loop = asyncio.get_running_loop()
        # Keep an alarm that is early enough, or a few milliseconds late.
        if self._alarm is None or self._alarm.when() > loop.time() + after + 0.005:
            self._silence()
            self._alarm = loop.call_later(after, self._woken.set)

    def _silence(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    async def woken(self, patience: float) -> None:
        """Wait for a change, at most `patience` seconds."""
        await _at_most(self._woken.wait(), patience)

    def take(self) -> tuple[list[str], bool]:
        """Return the changed topics that may be sent now, and whether the page must refresh completely."""
        self._woken.clear()
        self._silence()
        now = self._taken_at = time.monotonic()
        if self._behind_since is not None and now >= self._looked_at + PAUSE_SECONDS:
            self._looked_at, self._behind_since = now, None
            self._changed, self._named = {}, dict.fromkeys(self.topics, now)
            return [], True
        shown = self._changed.keys() & self.topics
        ready = {topic for topic in shown if now >= self._named.get(topic, 0.0) + PAUSE_SECONDS}
        self._named = {topic: at for topic, at in self._named.items() if topic in self.topics} | dict.fromkeys(
            ready, now
        )
        self._changed = {topic: since for topic, since in self._changed.items() if topic in shown - ready}
        if self._changed:
            self._wake(self._pause(self._changed))
        if self._behind_since is not None:
            self.fall_behind(self._behind_since)
        return sorted(ready), False


class Hub:
    """The seats by topic, and the number of each topic's last change."""

    def __init__(self) -> None:
        self._tag = token_hex(4)
        self._number = 1
        # Changes before this number are unknown.
        self._floor = 1
        self._changed: OrderedDict[str, int] = OrderedDict()
        # Each family's last change of topics that are not among `_changed`.
        self._unnamed: dict[Family, int] = {}
        self._seats: defaultdict[str, set[Seat]] = defaultdict(set)
        self._open: set[Seat] = set()
        self._awake_until = 0.0
        self._awake_since = timezone.now()
        self._times: deque[tuple[int, datetime]] = deque(maxlen=MOST_TIMES)
        self._lock = threading.Lock()
        self._work: asyncio.Task[None] | None = None
        # Changed runs whose relations must be read first.
        self._unknown: list[Changed] = []
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="orion-live")

    # --- numbers; from any thread ---

    @property
    def place(self) -> str:
        return self.place_of(self._number)

    def place_of(self, number: int) -> str:
        return f"{self._tag}.{number}"

    def place_for_page(self) -> str:
        """Return the place for a page that is about to read the database, and follow changes for a while."""
        with self._lock:
            if not self._open and time.monotonic() > self._awake_until:
                noted.close()
                self._number += 1
                self._floor = self._number
                self._awake_since = timezone.now()
                noted.open()
            self._awake_until = time.monotonic() + AWAKE_SECONDS
            return self.place

    def place_as_of(self, moment: datetime) -> str:
        """Return the place for a page that was read as of `moment`; number 0 if the changes since then are unknown."""
        moment -= CLOCKS_DIFFER
        if moment < self._awake_since:
            return f"{self._tag}.0"
        named = next((number for number, at in reversed(list(self._times)) if at <= moment), self._floor)
        return f"{self._tag}.{max(named, self._floor)}"

    def number_of(self, place: str) -> int | None:
        """Return the number of a place; None if it comes from another process, or is too old."""
        tag, _, number = place.partition(".")
        if tag != self._tag or not number.isdecimal() or len(number) > 15 or int(number) < self._floor:
            return None
        return int(number)

    # --- seats; on the event loop ---

    def sit(self) -> Seat:
        seat = Seat()
        with self._lock:
            self._open.add(seat)
            # After a restart, pages connect again before any is rendered.
            noted.open()
        return seat

    def leave(self, seat: Seat) -> None:
        self._forget_topics(seat)
        self._open.discard(seat)
        with self._lock:
            self._awake_until = time.monotonic() + AWAKE_SECONDS

    def show(self, seat: Seat, topics: Collection[str], since: str) -> None:
        """Set the topics that the websocket shows, and send those that changed since the given place."""
        self.place_for_page()
        self._forget_topics(seat)
        seat.topics = frozenset(one for one in topics if len(one) <= LONGEST_TOPIC)
        for topic in seat.topics:
            self._seats[topic].add(seat)
        number = self.number_of(since)
        if number is None:
            seat.fall_behind(0)
        else:
            seat.note([topic for topic in seat.topics if self._last_change(topic) > number], number)
        if self._work is None or self._work.done():
            self._work = asyncio.get_running_loop().create_task(self._follow())

    def _last_change(self, topic: str) -> int:
        """Return the number of the topic's last change, or of a later one that may have been one of it."""
        return max(self._changed.get(topic, 0), self._unnamed.get(family_of(topic), 0))

    def _forget_topics(self, seat: Seat) -> None:
        for topic in seat.topics:
            self._seats[topic].discard(seat)
            if not self._seats[topic]:
                del self._seats[topic]

    # --- changes; on the event loop ---

    def publish(self, topics: Collection[str]) -> None:
        if topics:
            self._publish(topics)

    def publish_family(self, family: Family) -> None:
        """Name all topics of a family that pages show, or will show, because too much of it has changed."""
        self._publish([topic for topic in self._seats if family_of(topic) == family])
        self._unnamed[family] = self._number

    def _publish(self, topics: Collection[str]) -> None:
        self._number += 1
        self._times.append((self._number, timezone.now()))
        shown: dict[Seat, set[str]] = defaultdict(set)
        for topic in topics:
            self._changed[topic] = self._number
            self._changed.move_to_end(topic)
            for seat in self._seats.get(topic, ()):
                shown[seat].add(topic)
        while len(self._changed) > MOST_REMEMBERED_TOPICS:
            topic, number = self._changed.popitem(last=False)
            family = family_of(topic)
            self._unnamed[family] = max(self._unnamed.get(family, 0), number)
        turn = 0
        for seat, changed in shown.items():
            seat.note(changed, self._number - 1, after=stagger(turn) if seat.is_idle else 0)
            turn += seat.is_idle

    def publish_everything(self) -> None:
        """Let all pages refresh completely, because too much has changed."""
        self._number += 1
        self._floor = self._number
        self._changed.clear()
        for turn, seat in enumerate(self._open):
            seat.fall_behind(self._number - 1, after=stagger(turn))

    async def _follow(self) -> None:
        """Publish changes while pages are open."""
        follower = Follower(self._awake_since)
        looking = asyncio.create_task(self._look(follower))
        woken = asyncio.Event()
        noted.wake = partial(_set_from_thread, asyncio.get_running_loop(), woken)
        try:
            while not self._falls_asleep():
                # Publish the first change at once, and those that follow closely together.
                if not noted.has_any:
                    await _at_most(woken.wait(), AWAKE_CHECK_SECONDS)
                woken.clear()
                self._take(follower)
                await asyncio.sleep(TAKE_EVERY_SECONDS)
        finally:
            looking.cancel()

    def _take(self, follower: Follower) -> None:
        """Publish changes of this process, without reading the database if possible."""
        changed, is_too_much = noted.take()
        if is_too_much:
            self.publish_everything()
            return
        topics, unknown = follower.known_topics(changed)
        self.publish(topics)
        self._unknown += unknown

    def _falls_asleep(self) -> bool:
        with self._lock:
            if self._open or time.monotonic() <= self._awake_until:
                return False
            noted.close()
            return True

    async def _look(self, follower: Follower) -> None:
        """Read from the database: relations of changed runs, and changes that other processes recorded."""
        follow_at = compare_at = 0.0
        while True:
            await asyncio.sleep(TAKE_EVERY_SECONDS)
            try:
                changed, self._unknown = self._unknown, []
                if changed:
                    self.publish(await self._in_thread(partial(follower.topics_of, changed)))
                if follow_at < time.monotonic():
                    topics, too_many = await self._in_thread(partial(_read, follower))
                    self.publish(topics)
                    if "runs" in too_many:
                        self.publish_everything()
                    else:
                        for family in too_many:
                            self.publish_family(family)
                    follow_at = time.monotonic() + FOLLOW_EVERY_SECONDS
                if compare_at < time.monotonic():
                    compare_at = time.monotonic() + COMPARE_EVERY_SECONDS
                    self.publish(
                        await self._in_thread(partial(_compare, follower, COMPARED.keys() & self._seats.keys()))
                    )
            except Exception as problem:
                # After an error, pages refresh completely.
                self.publish_everything()
                if is_outage(problem):
                    outage.met(problem)
                else:
                    logger.exception("Changes could not be followed.")
                await asyncio.sleep(1)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, with_usable_connection, call)


def _set_from_thread(loop: asyncio.AbstractEventLoop, woken: asyncio.Event) -> None:
    # No task waits on a closed loop.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(woken.set)


async def _at_most(waiting: Awaitable[object], seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(waiting, seconds)


def stagger(turn: int) -> float:
    return max(0, turn - AT_ONCE) * STAGGER_SECONDS


def _read(follower: Follower) -> tuple[set[str], set[Family]]:
    changed, lines, too_many = follower.read(current_time())
    return follower.topics_of(changed) | lines, too_many


def _compare(follower: Follower, topics: Collection[str]) -> set[str]:
    return follower.compare(topics) | follower.topics_of(follower.take_repeated())


hub = Hub()
