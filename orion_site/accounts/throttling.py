"""How often one key, session or address may ask: a bucket of tokens for each, in all workers of this server.

A request costs a token, and one more for each 256 KiB of its body; what running work reports, a tenth of that. A bucket
is full at first and refilled at a steady rate; whoever empties it is answered 429 and when to come again. The local
owner is not counted. Keys that nobody knows are counted by the address and the key's first characters, and each of
these once by the address alone. Where too many came from, a key that was good before is looked up as ever, others now
and then: one wrong key, or somebody who tries many, keeps no other program of that address out.
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
# Beyond so many, the one that was asked longest ago is forgotten: it is full again, or nearly.
MOST_BUCKETS = 10_000
# Wrong keys of one address: so many at once, and one more every two seconds; of the same first characters fewer.
GUESSES, GUESSES_OF_ONE, GUESSES_PER_SECOND = 30.0, 10.0, 0.5
# Beyond them, so many that were never seen are looked up all the same.
LOOKS, LOOKS_PER_SECOND = 5.0, 2.0
HINT_LENGTH = 12


class Buckets:
    """Tokens by name: how many are left, and as of when. Thread-safe; taking costs a microsecond."""

    def __init__(self) -> None:
        self.rows: Rows = OwnRows(MOST_BUCKETS)

    def take(self, name: str, cost: float, *, rate: float, size: float) -> float:
        """Take so many tokens; 0.0 if they were there, else the seconds until they will be."""
        now = time.monotonic()
        with self.rows.locked():
            left = self._filled(name, now, rate, size)
            # What costs more than the bucket holds is let through when it is full.
            missing = min(cost, size) - left
            if missing <= 0:
                left -= cost
            self.rows.put(name, (left, now))
        return max(0.0, missing / rate)

    def is_known(self, name: str) -> bool:
        """Whether tokens of it were taken lately."""
        with self.rows.locked():
            return self.rows.get(name) is not None

    def wait(self, name: str, *, rate: float, size: float) -> float:
        """The seconds until there is a token; none is taken."""
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
    """The digests of keys that were good lately. They prove nothing: a key among them is looked up like any other."""

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
    """Count from now on together with the other workers of this server."""
    requests.rows, guesses.rows = sheet.rows("requests"), sheet.rows("guesses")
    good_keys.rows = sheet.rows("good keys")


class TooManyWrongKeys(AuthenticationFailed):
    """An address that tried many keys in vain waits, whatever it sends."""

    status_code = 429
    default_code = "throttled"

    def __init__(self, wait: float) -> None:
        # DRF makes the header Retry-After of it.
        self.wait = math.ceil(wait)
        super().__init__(f"Too many wrong keys came from here. Try again in {self.wait} s.")


class TokenBucketThrottle(BaseThrottle):
    """Counts the requests of keys and sessions."""

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
    """Raises TooManyWrongKeys for a key that need not be looked up: many wrong ones came from there."""
    wait = guesses.wait(address, rate=GUESSES_PER_SECOND, size=GUESSES)
    wait = wait or guesses.wait(_name(address, key), rate=GUESSES_PER_SECOND, size=GUESSES_OF_ONE)
    if wait and key not in good_keys and guesses.take(f"look {address}", 1.0, rate=LOOKS_PER_SECOND, size=LOOKS):
        raise TooManyWrongKeys(wait)


def count_guess(address: str, key: str) -> None:
    """Count a wrong key; one that is sent again and again counts for its address once."""
    name = _name(address, key)
    if not guesses.is_known(name):
        guesses.take(address, 1.0, rate=GUESSES_PER_SECOND, size=GUESSES)
    guesses.take(name, 1.0, rate=GUESSES_PER_SECOND, size=GUESSES_OF_ONE)


def _name(address: str, key: str) -> str:
    return f"{address} {key[:HINT_LENGTH]}"
