"""Trails of decisions as bytes. Rules, verdicts and common reasons are numbers; a whole trail that is usual is one
number.

The numbers are stored in the database: add entries at the end of each table, and never move or remove one. Each rule
says its own number.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TypeVar

from orchestration.core.decide import Judgement
from orchestration.core.policies import POLICIES

Trail = tuple[Judgement, ...]
T = TypeVar("T")

# 0 means that the name of the rule follows as text.
RULES = {rule.number: type(rule).__name__ for policy in POLICIES for rule in policy}
VERDICTS = ("accept", "amend", "reject", "wait", "abort")
# Reasons with `{}` for whole numbers, numbered from 1; 0 means that the reason follows as text.
REASONS = (
    "attempt {} of its flow run",
    "start number {}",
    "a slot of each tag is free",
)
MOST_LINES = 63
# A count of lines from here on is the number of a usual trail instead.
_USUAL_FROM = MOST_LINES + 1
_OWN_VERDICT = 7
USUAL: tuple[Trail, ...] = (
    (),
    (
        Judgement("ReuseCachedResults", "accept", ""),
        Judgement("StartTasksOfRunningFlowsOnly", "accept", ""),
        Judgement("TakeConcurrencySlots", "accept", ""),
        Judgement("WaitForScheduledTime", "accept", ""),
        Judgement("NameRepeatedTries", "accept", ""),
        Judgement("RememberFlowAttempt", "amend", "attempt 1 of its flow run"),
    ),
    (Judgement("RememberResultsByCacheKey", "accept", ""),),
)

_RULE_NUMBERS = {name: number for number, name in RULES.items()}
_VERDICT_NUMBERS = {name: number for number, name in enumerate(VERDICTS)}
_REASON_NUMBERS = {template: number for number, template in enumerate(REASONS, 1)}
_USUAL_NUMBERS = {trail: number for number, trail in enumerate(USUAL, _USUAL_FROM)}
# A number in the form that `str` gives it, so that unpacking restores the same text.
_NUMBER = re.compile(r"(?<![0-9])(0|[1-9][0-9]{0,17})(?![0-9])", re.ASCII)


class Malformed(ValueError):
    """Bytes that are not the result of packing."""


@lru_cache(maxsize=1024)
def packed_trail(trail: Trail) -> bytes:
    usual = _USUAL_NUMBERS.get(trail)
    if usual is not None:
        return varint(usual)
    if len(trail) > MOST_LINES:
        raise ValueError(f"a trail of {len(trail)} lines is too long to be packed")
    return b"".join([varint(len(trail)), *(_packed_line(line) for line in trail)])


def _packed_line(line: Judgement) -> bytes:
    rule, verdict = _RULE_NUMBERS.get(line.rule, 0), _VERDICT_NUMBERS.get(line.verdict, _OWN_VERDICT)
    words = [varint(rule << 4 | bool(line.reason) << 3 | verdict)]
    if not rule:
        words.append(text(line.rule))
    if verdict == _OWN_VERDICT:
        words.append(text(line.verdict))
    if line.reason:
        words.append(_packed_reason(line.reason))
    return b"".join(words)


def _packed_reason(reason: str) -> bytes:
    numbers = _NUMBER.findall(reason)
    template = _REASON_NUMBERS.get(_NUMBER.sub("{}", reason)) if "{" not in reason else None
    if template is None:
        return varint(0) + text(reason)
    return b"".join([varint(template), *(varint(int(one)) for one in numbers)])


class Reader:
    """Reads packed values one after the other. Raises Malformed if they are not valid."""

    __slots__ = ("at", "packed")

    def __init__(self, packed: bytes, at: int = 0) -> None:
        self.packed, self.at = packed, at

    @property
    def is_at_end(self) -> bool:
        return self.at >= len(self.packed)

    def taken(self, size: int) -> bytes:
        found = self.packed[self.at : self.at + size]
        if len(found) != size:
            raise Malformed("it ends in the middle of a value")
        self.at += size
        return found

    def varint(self) -> int:
        value = shift = 0
        while True:
            if self.at >= len(self.packed):
                raise Malformed("it ends in the middle of a number")
            byte = self.packed[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def signed(self) -> int:
        value = self.varint()
        return -(value >> 1) - 1 if value & 1 else value >> 1

    def text(self) -> str:
        try:
            return self.taken(self.varint()).decode()
        except UnicodeDecodeError as error:
            raise Malformed(f"it holds a text that is none: {error}") from error

    def trail(self) -> Trail:
        number = self.varint()
        if number >= _USUAL_FROM:
            return _entry(USUAL, number - _USUAL_FROM, "usual trail")
        return tuple([self._line() for _ in range(number)])

    def _line(self) -> Judgement:
        head = self.varint()
        rule = _entry(RULES, head >> 4, "rule") if head >> 4 else self.text()
        verdict = self.text() if head & 7 == _OWN_VERDICT else _entry(VERDICTS, head & 7, "verdict")
        return Judgement(rule, verdict, self._reason() if head & 8 else "")

    def _reason(self) -> str:
        template = self.varint()
        if not template:
            return self.text()
        words = _entry(REASONS, template - 1, "reason")
        return words.format(*[self.varint() for _ in range(words.count("{}"))])


def _entry(table: tuple[T, ...] | dict[int, T], place: int, what: str) -> T:
    try:
        return table[place]
    except LookupError:
        raise Malformed(f"it names a {what} that this version of Orion does not know") from None


def varint(value: int) -> bytes:
    """Return a number with seven bits per byte, lowest first. All bytes but the last have their highest bit set."""
    if value < 0x80:
        return bytes((value,))
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def signed(value: int) -> bytes:
    return varint(-value * 2 - 1 if value < 0 else value * 2)


def text(value: str) -> bytes:
    encoded = value.encode()
    return varint(len(encoded)) + encoded
