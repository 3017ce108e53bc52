"""The cause of a failure, and the fingerprint that failures of one cause share. Pure: SDK and server compute it.

A fingerprint is made of the type of the exception, the user's own functions that it came through, and its message
without what differs from run to run: numbers, ids, paths, addresses, moments and quoted values. Line numbers are left
out, so that a comment added above changes nothing. What a fingerprint is made of has a version, which is part of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from orionflow.contract.kinds import CAUSE_FIELDS, bounded_cause

VERSION = 1
# Of a longer message nobody reads more in a list, and searching it would be felt.
LOOKED_AT = 2_000
LONGEST_MESSAGE = 240
# The innermost of the user's functions; recursion would make a cause of each depth.
MOST_FRAMES = 6
ANYTHING, NUMBER = "…", "#"
# Functions of their own in some versions of Python only.
_INLINED = frozenset({"<listcomp>", "<dictcomp>", "<setcomp>"})

_FINGERPRINT = re.compile(r"[0-9a-f]{32}")
# In this order: addresses hold paths, paths hold numbers. A quote inside of a word is an apostrophe.
_VARYING = re.compile(
    r"(?P<any>"
    r"\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^\s'\"<>]+"
    r"|(?<!\w)'(?:[^'\\\n]|\\.)*'(?!\w)|(?<!\w)\"(?:[^\"\\\n]|\\.)*\"(?!\w)|`[^`\n]*`|[“‘«][^”’»\n]*[”’»]"
    r"|(?<![\w.+-])[\w.+-]+@[\w-]+\.[\w.-]+"
    r"|(?<![\w/\\])(?:[A-Za-z]:)?(?:~|\.{1,2})?[/\\](?:[\w.~=@+-]+[/\\]?)+"
    r"|(?<![\w/\\.~=-])(?:[\w.~=-]+[/\\]){2,}[\w.~=-]*"
    r"|(?<![\w/\\.~=-])[\w~=-]+[/\\][\w~=-]+\.\w+"
    r"|\b[0-9a-fA-F]{12,}\b)"
    r"|(?P<number>\d{4}-\d\d-\d\d[ T]\d[\d:.,+-]*\dZ?|(?<![\w.:%+-])[\w.:%+-]*\d(?:[\w.:%+-]*[\w%])?)"
)
# Values in a row are one list, however long it is, be it of one value or of none.
_REPEATED = re.compile(r"[…#](?:[\s,;:=()\[\]{}-]+[…#])+")
_ENCLOSED = re.compile(r"([\[({])[…#\s,;:=-]*([\])}])")
# The text was cut inside of a quoted value, or of a list.
_UNCLOSED = re.compile(r"(?<!\w)(['\"`])(?:(?!\1).)*$")
_UNENDED = re.compile(r"[\[({][…#\s,;:=-]*$")
# "The flow raised KeyError: 'x'" names the error behind its first words; so do the messages of other clients.
_RAISED = re.compile(
    r"^(?:The (?:flow|task) raised |(?:Flow|Task) run encountered an exception[.:]? ?|The flow could not be loaded\. )"
)
# A task that could not start, or its flow, names the input that failed, which may name one in its turn.
_UPSTREAM = re.compile(
    r"^(?:[\w.]*UpstreamFailed: )?The upstream run \S.{0,300}? is \w+: (?=The (?:flow|task|upstream) )", re.DOTALL
)
_ADVICE = re.compile(r"; mark the argument with allow_failure\(\) to run all the same\.$")
# Machines and agents fail for everybody; how a run's own process ends is the doing of its code.
_OWN_END = re.compile(r"^The process of the run (?:exited|was killed|was ended)")
_NAMED = re.compile(
    r"^([A-Za-z_][\w.]*?(?:Error|Exception|Warning|Timeout|Interrupt|Exit|Refused|Expired|Failure|Found|Denied|Group))"
    r"(?:: ?|$)(.*)",
    re.DOTALL,
)
_SUM = re.compile(r"^\d+ ?(?:/|of) ?\d+ ")


@dataclass(frozen=True, slots=True)
class Cause:
    """The cause of a failure. `place` is where, as in "load.py:load_rows"; `message` has nothing that varies."""

    fingerprint: str
    type: str
    place: str = ""
    message: str = ""

    def as_dict(self) -> dict[str, str]:
        """Its fields that say something, as they travel in the details of a state; its message is the state's."""
        given = {"fingerprint": self.fingerprint, "type": self.type, "place": self.place}
        return {name: text for name, text in given.items() if text}


def cause_of(type_name: str, message: str, frames: Sequence[tuple[str, str]] = (), *, scope: str = "") -> Cause:
    """Return the cause of an exception: `frames` are the user's own, (file, function), the outermost first.

    Without frames two failures are alike by their words alone; `scope` then keeps those of one flow together.
    """
    words = normalised(message)
    own = [f"{file_name(file)}:{function}" for file, function in frames if function not in _INLINED]
    # One function that calls itself is one place, however deep.
    own = [one for number, one in enumerate(own) if number == 0 or own[number - 1] != one][-MOST_FRAMES:]
    parts = (str(VERSION), type_name, *own, words, "" if own else scope)
    digest = blake2b("\x00".join(parts).encode("utf-8", "replace"), digest_size=16).hexdigest()
    place = own[-1] if own else ""
    return Cause(digest, type_name[: CAUSE_FIELDS["type"]], place[: CAUSE_FIELDS["place"]], words)


def cause_of_state(
    details: Mapping[str, Any] | None, name: str | None, message: str | None, *, scope: str = ""
) -> Cause:
    """Return the cause of a bad state: the one that came with it or, from other clients and the server itself, by its
    words.

    `scope` keeps failures of one flow together that say nothing of where they come from; crashes of machines and agents
    are alike everywhere.
    """
    if details and _FINGERPRINT.fullmatch(str(details.get("fingerprint", ""))):
        given = bounded_cause(details)
        kind = given.get("type", "")
        return Cause(
            given["fingerprint"], kind, given.get("place", ""), normalised(words_of(kind, name, message) or "")
        )
    words = _raised(message)
    if match := _NAMED.match(words):
        return cause_of(match[1].rpartition(".")[2], match[2], scope=scope)
    if name == "Crashed" and not _SUM.match(words) and not _OWN_END.match(words):
        scope = ""
    return cause_of(name or "Failed", words, scope=scope)


def is_sum(words: str) -> bool:
    """Whether they count runs, as "2/40 runs failed." does: of the cause they say nothing."""
    return _SUM.match(words) is not None


def words_of(type_name: str, state_name: str | None, message: str | None) -> str | None:
    """Return the words of an error in the message of its state, without its type; None where they are not there."""
    words = " ".join(_raised(message).split())
    kind, _, rest = words.partition(": ")
    if kind.rpartition(".")[2] == type_name:
        return rest
    return words if state_name == type_name else None


def _raised(message: str | None) -> str:
    """Return the error in a message of a state: past the inputs that failed by it, and without our own first words."""
    words = _RAISED.sub("", message or "")
    while _ADVICE.search(words) and (further := _UPSTREAM.sub("", words)) != words:
        words = _RAISED.sub("", _ADVICE.sub("", further))
    return words


def normalised(message: str) -> str:
    """Return the message without what differs from run to run, in one line."""
    text = _VARYING.sub(_replaced, " ".join(message[:LOOKED_AT].split()))
    if len(message) > LOOKED_AT:
        text = _UNENDED.sub(ANYTHING, _UNCLOSED.sub(ANYTHING, text))
    return _ENCLOSED.sub(rf"\1{ANYTHING}\2", _REPEATED.sub(ANYTHING, text))[:LONGEST_MESSAGE]


def _replaced(match: re.Match[str]) -> str:
    return NUMBER if match.lastgroup == "number" else ANYTHING


def file_name(path: str) -> str:
    """The name of a file without its folders: code is unpacked elsewhere for each run. Cells of notebooks are alike."""
    name = path.replace("\\", "/").rpartition("/")[2]
    return "notebook" if "ipykernel" in path or name.startswith("<ipython") else name
