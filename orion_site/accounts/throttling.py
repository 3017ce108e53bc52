"""Rate limits by key, session or address: a token bucket for each, shared by all workers of this server.

A request costs a token, and another one for each 256 KiB of its body; reports of running work cost a tenth of that. A
bucket is full at first and refilled at a steady rate; if it is empty, the answer is 429 with the time to wait. The
local owner is not limited. Unknown keys count for the address with the key's first characters, and once for the address
alone. When an address has sent too many, keys that were valid before are still looked up, and others now and then: so a
wrong key, or someone who guesses keys, does not lock out other programs at that address.
"""

from __future__ import annotations

import math
import time
from hashlib import sha256
from typing import Any

from django.conf import settings
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from orion_site.accounts.permissions import LOCAL_OWNER
from orion_site.shared_rows import OwnRows, Rows, Sheet

REPORT = 0.1
PIECE = 256 * 1024
# With more buckets, the least recently used one is dropped: it is full again, or nearly.
MOST_BUCKETS = 10_000
# Wrong keys of one address, and of one key at it: how many at once, and how many per second.
GUESSES, GUESSES_OF_ONE, GUESSES_PER_SECOND = 30.0, 10.0, 0.5
# Beyond them, unknown keys are still looked up at this rate.
LOOKS, LOOKS_PER_SECOND = 5.0, 2.0
HINT_LENGTH = 12


class Buckets:
    """Token buckets by name: the tokens left, and the time of that count. Thread-safe; `take` costs a microsecond."""

    def __init__(self) -> None:
        self.rows: Rows = OwnRows(MOST_BUCKETS)

    def take(self, name: str, cost: float, *, rate: float, size: float) -> float:
        """Take tokens. Return 0.0 if there were enough, otherwise the seconds until there will be."""
        now = time.monotonic()
        with self.rows.locked():
            left = self._filled(name, now, rate, size)
            # A cost above the size of the bucket is accepted when the bucket is full.
            missing = min(cost, size) - left
            if missing <= 0:
                left -= cost
            self.rows.put(name, (left, now))
        return max(0.0, missing / rate)

    def is_known(self, name: str) -> bool:
        """Whether tokens were taken from it recently."""
        with self.rows.locked():
            return self.rows.get(name) is not None

    def wait(self, name: str, *, rate: float, size: float) -> float:
        """Return the seconds until there is a token, without taking it."""
        with self.rows.locked():
            missing = 1.0 - self._filled(name, time.monotonic(), rate, size)
        return max(0.0, missing / rate)

    def forget(self) -> None:
        with self.rows.locked():
            self.rows.clear()

    def _filled(self, name: str, now: float, rate: float, size: float) -> float:
        left, then = self.rows.get(name) or (size, now)
        return min(size, left + (now - then) * rate)


class Digests:
    """Digests of keys that were valid recently. They prove nothing: such a key is looked up like any other."""

    def __init__(self) -> None:
        self.rows: Rows = OwnRows(MOST_BUCKETS)

    def add(self, key: str) -> None:
        with self.rows.locked():
            self.rows.put(_digest(key), (1.0, time.monotonic()))

    def __contains__(self, key: str) -> bool:
        with self.rows.locked():
            return self.rows.get(_digest(key)) is not None

    def forget(self) -> None:
        with self.rows.locked():
            self.rows.clear()


def _digest(key: str) -> str:
    return sha256(key.encode("utf-8", "replace")).hexdigest()


requests, guesses, good_keys = Buckets(), Buckets(), Digests()


def count_with_others(sheet: Sheet) -> None:
    """Share the counts with the other workers of this server from now on."""
    requests.rows, guesses.rows = sheet.rows("requests"), sheet.rows("guesses")
    good_keys.rows = sheet.rows("good keys")


class TooManyWrongKeys(AuthenticationFailed):
    """Too many wrong keys came from the address, so that its unknown keys are refused for a while."""

    status_code = 429
    default_code = "throttled"

    def __init__(self, wait: float) -> None:
        # DRF sends it as Retry-After.
        self.wait = math.ceil(wait)
        super().__init__(f"Too many wrong keys came from here. Try again in {self.wait} s.")


class TokenBucketThrottle(BaseThrottle):
    """Limits the requests of each key and session."""

    _wait = 0.0

    def allow_request(self, request: Request, view: Any) -> bool:
        rate = settings.ORION_API_REQUESTS_PER_SECOND
        if not rate or request.user is LOCAL_OWNER or request.user is None:
            return True
        cost = 1.0 + int(request.META.get("CONTENT_LENGTH") or 0) // PIECE
        action = getattr(view, "action_required", None)
        if action is not None and action.is_reporting:
            cost *= REPORT
        self._wait = requests.take(request.user.identity, cost, rate=rate, size=settings.ORION_API_BURST)
        return not self._wait

    def wait(self) -> float:
        return self._wait


def refuse_guesser(address: str, key: str) -> None:
    """Raise TooManyWrongKeys for a key that is not looked up because many wrong ones came from its address."""
    wait = guesses.wait(address, rate=GUESSES_PER_SECOND, size=GUESSES)
    wait = wait or guesses.wait(_name(address, key), rate=GUESSES_PER_SECOND, size=GUESSES_OF_ONE)
    if wait and key not in good_keys and guesses.take(f"look {address}", 1.0, rate=LOOKS_PER_SECOND, size=LOOKS):
        raise TooManyWrongKeys(wait)


def count_guess(address: str, key: str) -> None:
    """Count a wrong key. A key that is sent repeatedly counts once for its address."""
    name = _name(address, key)
    if not guesses.is_known(name):
        guesses.take(address, 1.0, rate=GUESSES_PER_SECOND, size=GUESSES)
    guesses.take(name, 1.0, rate=GUESSES_PER_SECOND, size=GUESSES_OF_ONE)


def _name(address: str, key: str) -> str:
    return f"{address} {key[:HINT_LENGTH]}"
