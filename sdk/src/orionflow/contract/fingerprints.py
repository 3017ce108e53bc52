"""The cause of a failure, and the fingerprint that failures of one cause share. Pure: SDK and server both compute it.

A fingerprint is computed from the type of the exception, the user's own functions that it passed through, and its
message without the parts that differ from run to run: numbers, ids, paths, addresses, moments and quoted values. Line
numbers are left out, so that a comment added above changes nothing. The fingerprint includes a version of this
procedure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from orionflow.contract.kinds import CAUSE_FIELDS, bounded_cause

VERSION = 1
# In characters. Lists show no more of a message, and searching a longer one would be slow.
LOOKED_AT = 2_000
LONGEST_MESSAGE = 240
# The innermost of the user's functions; without a limit, each depth of a recursion would be a cause of its own.
MOST_FRAMES = 6
ANYTHING, NUMBER = "…", "#"
# Separate functions only in some versions of Python.
_INLINED = frozenset({"<listcomp>", "<dictcomp>", "<setcomp>"})

_FINGERPRINT = re.compile(r"[0-9a-f]{32}")
# The order matters: addresses contain paths, and paths contain numbers. A quote inside a word is an apostrophe.
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
# Consecutive values count as one list, whatever its length, even for one value or none.
_REPEATED = re.compile(r"[…#](?:[\s,;:=()\[\]{}-]+[…#])+")
_ENCLOSED = re.compile(r"([\[({])[…#\s,;:=-]*([\])}])")
# The text was cut inside a quoted value or a list.
_UNCLOSED = re.compile(r"(?<!\w)(['\"`])(?:(?!\1).)*$")
_UNENDED = re.compile(r"[\[({][…#\s,;:=-]*$")
# "The flow raised KeyError: 'x'" names the error after a prefix; so do the messages of other clients.
_RAISED = re.compile(
    r"^(?:The (?:flow|task) raised |(?:Flow|Task) run encountered an exception[.:]? ?|The flow could not be loaded\. )"
)
# A task that could not start, or its flow, names the failed input, which may name another one in turn.
_UPSTREAM = re.compile(
    r"^(?:[\w.]*UpstreamFailed: )?The upstream run \S.{0,300}? is \w+: (?=The (?:flow|task|upstream) )", re.DOTALL
)
_ADVICE = re.compile(r"; mark the argument with allow_failure\(\) to run all the same\.$")
# Failures of machines and agents affect all flows; the end of a run's own process is caused by its code.
_OWN_END = re.compile(r"^The process of the run (?:exited|was killed|was ended)")
_NAMED = re.compile(
    r"^([A-Za-z_][\w.]*?(?:Error|Exception|Warning|Timeout|Interrupt|Exit|Refused|Expired|Failure|Found|Denied|Group))"
    r"(?:: ?|$)(.*)",
    re.DOTALL,
)
_SUM = re.compile(r"^\d+ ?(?:/|of) ?\d+ ")


@dataclass(frozen=True, slots=True)
class Cause:
    """The cause of a failure. `place` is a function, as in "load.py:load_rows"; `message` has no varying parts."""

    fingerprint: str
    type: str
    place: str = ""
    message: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the non-empty fields, as they are sent in the details of a state. The message is the state's."""
        given = {"fingerprint": self.fingerprint, "type": self.type, "place": self.place}
        return {name: text for name, text in given.items() if text}


def cause_of(type_name: str, message: str, frames: Sequence[tuple[str, str]] = (), *, scope: str = "") -> Cause:
    """Return the cause of an exception: `frames` are the user's own, (file, function), the outermost first.

    Without frames, failures are grouped by their messages alone; `scope` then keeps those of one flow together.
    """
    words = normalised(message)
    own = [f"{file_name(file)}:{function}" for file, function in frames if function not in _INLINED]
    # A function that calls itself counts as one place, whatever the depth.
    own = [one for number, one in enumerate(own) if number == 0 or own[number - 1] != one][-MOST_FRAMES:]
    parts = (str(VERSION), type_name, *own, words, "" if own else scope)
    digest = blake2b("\x00".join(parts).encode("utf-8", "replace"), digest_size=16).hexdigest()
    place = own[-1] if own else ""
    return Cause(digest, type_name[: CAUSE_FIELDS["type"]], place[: CAUSE_FIELDS["place"]], words)


def cause_of_state(
    details: Mapping[str, Any] | None, name: str | None, message: str | None, *, scope: str = ""
) -> Cause:
    """Return the cause of a bad state: the one that was sent with it, or one that is derived from its message.

    States of other clients and of the server itself have no cause. `scope` keeps failures of one flow together if their
    origin is not known; crashes of machines and agents are alike in all flows.
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
    """Whether the message counts runs, as "2/40 runs failed." does: it says nothing about the cause."""
    return _SUM.match(words) is not None


def words_of(type_name: str, state_name: str | None, message: str | None) -> str | None:
    """Return the error's message from the message of its state, without the type; None if it does not contain one."""
    words = " ".join(_raised(message).split())
    kind, _, rest = words.partition(": ")
    if kind.rpartition(".")[2] == type_name:
        return rest
    return words if state_name == type_name else None


def _raised(message: str | None) -> str:
    """Return the error in a state's message, without the failed inputs before it and without Orion's own prefix."""
    words = _RAISED.sub("", message or "")
    while _ADVICE.search(words) and (further := _UPSTREAM.sub("", words)) != words:
        words = _RAISED.sub("", _ADVICE.sub("", further))
    return words


def normalised(message: str) -> str:
    """Return the message in one line, without the parts that differ from run to run."""
    text = _VARYING.sub(_replaced, " ".join(message[:LOOKED_AT].split()))
    if len(message) > LOOKED_AT:
        text = _UNENDED.sub(ANYTHING, _UNCLOSED.sub(ANYTHING, text))
    return _ENCLOSED.sub(rf"\1{ANYTHING}\2", _REPEATED.sub(ANYTHING, text))[:LONGEST_MESSAGE]


def _replaced(match: re.Match[str]) -> str:
    return NUMBER if match.lastgroup == "number" else ANYTHING


def file_name(path: str) -> str:
    """Return the name of a file without its folders, as each run unpacks code elsewhere; notebook cells are alike."""
    name = path.replace("\\", "/").rpartition("/")[2]
    return "notebook" if "ipykernel" in path or name.startswith("<ipython") else name
