"""Fingerprints of failures: one cause has one, whatever numbers, ids, paths and values its message names."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from orionflow.contract.fingerprints import cause_of, cause_of_state, normalised
from orionflow.contract.states import StateDetails
from tests.rounds import THOROUGH

FRAMES = [("/srv/code/etl/load.py", "main"), ("/srv/code/etl/load.py", "load_rows")]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("row 17 of 40 is bad", "row 2 of 1200 is bad"),
        ("no file '/data/in/2026-01-05.csv'", "no file '/data/in/2026-01-06.csv'"),
        ("cannot read /mnt/a/b.csv", "cannot read /var/lib/c.csv"),
        ("cannot read C:\\data\\a.csv", "cannot read D:\\x\\y\\b.csv"),
        ("cannot read s3://lake/a.parquet", "cannot read gs://pond/b/c.parquet"),
        ("user 9f1c2d3e-1111-4222-8333-444455556666 is gone", "user 01a225ba-8bce-7b4a-8076-e9b1805b0bbf is gone"),
        ("<Row object at 0x7f12ab> is closed", "<Row object at 0x55aa00> is closed"),
        ("10.0.0.3:5432 refused", "192.168.1.77:6432 refused"),
        ("since 2026-01-05T12:00:00Z nothing", "since 2025-11-30 nothing"),
        ("unknown column 'price'", "unknown column 'customer'"),
        ('unknown column "price"', 'unknown column "it\'s"'),
        ("missing [1, 2, 3]", "missing [4]"),
        ("mail to ada@example.com bounced", "mail to bob.b@mail.example.org bounced"),
        ("hash deadbeefdeadbeef differs", "hash 0123456789abcdef differs"),
        ("a\n  b   c 1", "a b c 2"),
    ],
)
def test_what_differs_from_run_to_run_does_not_count(one: str, other: str):
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("can't connect", "can't write"),
        ("the table is locked", "the table is missing"),
        ("no space left on device", "permission denied"),
    ],
)
def test_words_count(one: str, other: str):
    assert normalised(one) != normalised(other)


def test_type_place_and_message_make_the_fingerprint_and_lines_and_folders_do_not():
    here = cause_of("KeyError", "'price'", FRAMES)

    assert here == cause_of("KeyError", "'price'", [(f.replace("/srv/code", "/tmp/x1"), name) for f, name in FRAMES])
    assert here.place == "load.py:load_rows"
    others = [
        cause_of("IndexError", "'price'", FRAMES),
        cause_of("KeyError", "'price'", FRAMES[:1]),
        cause_of("KeyError", "none", FRAMES),
    ]
    assert len({here.fingerprint, *(other.fingerprint for other in others)}) == 4


def test_recursion_of_any_depth_has_one_fingerprint():
    deep = [("a.py", "walk")]

    assert cause_of("RecursionError", "", deep * 3) == cause_of("RecursionError", "", deep * 900)


def test_a_comprehension_is_part_of_its_function():
    inside = [("a.py", "load"), ("a.py", "<listcomp>")]

    assert cause_of("KeyError", "x", inside) == cause_of("KeyError", "x", inside[:1])


def test_a_state_without_a_cause_has_the_one_that_its_words_name():
    raised = cause_of_state(
        None, "Failed", "The task raised requests.exceptions.HTTPError: 404 Client Error", scope="f"
    )
    lost = "Agent 'miller' on host-{} is gone: its last heartbeat came at 2026-01-05 12:00:0{} UTC."
    killed = cause_of_state(None, "Crashed", lost.format(1, 1), scope="f")

    assert (raised.type, raised.message) == ("HTTPError", "# Client Error")
    assert raised.fingerprint != cause_of_state(None, "Failed", "HTTPError: 404 Client Error", scope="g").fingerprint
    assert killed == cause_of_state(None, "Crashed", lost.format(2, 2), scope="g")
    assert cause_of_state(None, None, None).type == "Failed"


@pytest.mark.parametrize(
    "words",
    [
        "The process of the run was killed by SIGKILL; running out of memory is the usual reason.",
        "The process of the run exited with code 3, and did not report an end.",
        "The process of the run was ended by SIGSEGV.",
    ],
)
def test_the_end_of_a_runs_own_process_is_a_cause_of_its_flow(words: str):
    causes = [cause_of_state(None, "Crashed", words, scope=flow) for flow in ("f", "f", "g")]

    assert causes[0] == causes[1] != causes[2]


def test_a_flow_that_cannot_be_loaded_has_the_type_of_its_error():
    found = cause_of_state(
        None, "Failed", "The flow could not be loaded. ModuleNotFoundError: No module named 'pandas'"
    )

    assert (found.type, found.message) == ("ModuleNotFoundError", "No module named …")


def test_the_cause_that_came_with_a_state_counts():
    own = cause_of("KeyError", "'x'", FRAMES)

    assert cause_of_state(own.as_dict(), "Failed", "2/40 runs failed.") == replace(own, message="")


def test_the_message_of_a_cause_is_that_of_its_state_where_secrets_are_masked():
    own = cause_of("ValueError", "bad token my secret 42", FRAMES)

    found = cause_of_state(own.as_dict(), "Failed", "The flow raised ValueError: bad token ********")

    assert "secret" not in str(own.as_dict())
    assert (found.fingerprint, found.message) == (own.fingerprint, "bad token ********")


@pytest.mark.parametrize("forged", ["", "x" * 32, "A" * 32, "../../etc", 5, None, "0" * 33])
def test_a_fingerprint_that_is_none_is_made_of_the_words(forged: object):
    found = cause_of_state({"fingerprint": forged, "type": "Evil"}, "Failed", "ValueError: boom")

    assert found.type == "ValueError"


def test_a_cause_is_stored_without_what_it_should_not_have():
    sent = {"cause": {"fingerprint": "0" * 32, "type": "E" * 500, "message": "m" * 9000}}
    details = TypeAdapter(StateDetails).validate_python(sent)

    found = cause_of_state(details.cause, "Failed", None)

    assert details.cause == {"fingerprint": "0" * 32, "type": "E" * 120}
    assert len(found.type) == 120


@given(st.text(max_size=900))
def test_any_message_has_a_bounded_form(message: str):
    found = cause_of("Error", message, [])

    assert len(found.message) <= 240
    assert UUID(found.fingerprint)
    assert "\n" not in found.message


# --- the labelled corpus ------------------------------------------------------------------------------------------

Made = tuple[str, str, list[tuple[str, str]]]


class _Draw(random.Random):
    def id(self) -> str:
        return str(UUID(int=self.getrandbits(128)))

    def word(self) -> str:
        return "".join(self.choice("abcdefghijklmnopqrstuvwxyz_") for _ in range(self.randint(3, 14)))

    def few(self) -> int:
        return self.randint(1, 99)

    def many(self) -> int:
        return self.randint(0, 9**9)

    def hex(self) -> str:
        return hex(self.getrandbits(48))

    def url(self) -> str:
        return f"https://{self.word()}.example.com/v1/{self.id()}?page={self.few()}"

    def path(self, end: str) -> str:
        folders = [self.word() for _ in range(self.randint(1, 5))]
        return "/" + "/".join([*folders, f"{self.word()}-{self.many()}{end}"])

    def moment(self) -> str:
        day = f"202{self.randint(0, 9)}-{self.randint(1, 12):02}-{self.randint(1, 28):02}"
        hour = f"{self.randint(0, 23):02}:{self.randint(0, 59):02}"
        return self.choice([day, f"{day}T{hour}:00Z", f"{day} {hour}:01.33+02:00"])

    def host(self) -> str:
        return ".".join(str(self.randint(0, 255)) for _ in range(4)) + f":{self.randint(1, 65535)}"

    def numbers(self) -> str:
        return str([self.randint(0, 10**6) for _ in range(self.randint(1, 40))])

    def folder(self) -> str:
        return self.choice(["/srv/app", f"/tmp/orion-{self.id()}", f"/home/{self.word()}/code", "C:\\Users\\ci\\run"])


def _in(*functions: str, file: str = "etl.py") -> Callable[[_Draw], list[tuple[str, str]]]:
    return lambda draw: [(f"{draw.folder()}/{file}", function) for function in functions]


# Twenty causes: type, message and the user's functions that it came through.
CAUSES: list[tuple[str, Callable[[_Draw], str], Callable[[_Draw], list[tuple[str, str]]]]] = [
    ("KeyError", lambda d: repr(d.word()), _in("load", "load_rows")),
    ("KeyError", lambda d: repr(d.word()), _in("save", "save_rows")),
    ("FileNotFoundError", lambda d: f"[Errno 2] No such file or directory: {d.path('.csv')!r}", _in("extract")),
    ("PermissionError", lambda d: f"[Errno 13] Permission denied: {d.path('.lock')!r}", _in("extract")),
    ("ValueError", lambda d: f"could not convert string to float: {d.word()!r}", _in("parse")),
    ("ValueError", lambda d: f"invalid literal for int() with base 10: {d.word()!r}", _in("parse")),
    ("ValueError", lambda d: f"row {d.many()} of batch {d.id()} has {d.few()} columns", _in("parse")),
    ("ConnectionError", lambda d: f"could not connect to {d.host()} after {d.few()} tries", _in("fetch")),
    ("TimeoutError", lambda d: f"no answer from {d.host()} within {d.random() * 60:.3f} s", _in("fetch")),
    ("HTTPError", lambda d: f"503 Server Error: Unavailable for url: {d.url()}", _in("fetch", "_get", file="api.py")),
    ("HTTPError", lambda d: f"Client Error: Unauthorized for url: {d.url()}", _in("fetch", "_get", file="api.py")),
    ("OperationalError", lambda d: f'relation "{d.word()}" does not exist\nLINE {d.few()}: SELECT', _in("query")),
    ("OperationalError", lambda d: f"deadlock detected: process {d.many()} waits for {d.id()}", _in("query")),
    ("ZeroDivisionError", lambda d: "division by zero", _in("ratio", file="stats.py")),
    ("AttributeError", lambda d: f"<Frame object at {d.hex()}> has no column", _in("mean", file="stats.py")),
    ("IndexError", lambda d: f"index {d.many()} is out of bounds for size {d.many()}", _in("pick")),
    ("AssertionError", lambda d: f"expected {d.numbers()} and got {d.numbers()}", _in("check")),
    ("DataTooOld", lambda d: f"the newest row is of {d.moment()}, expected after {d.moment()}", _in("check", "age")),
    ("UnicodeDecodeError", lambda d: f"can't decode byte {d.hex()} in position {d.many()}", _in("read")),
    ("MemoryError", lambda d: f"Unable to allocate {d.few()}.5 GiB for an array of shape ({d.many()},)", _in("stack")),
]


def corpus(number: int, seed: int = 7) -> list[tuple[int, Made]]:
    """Failures with the number of their cause."""
    draw = _Draw(seed)
    chosen = (draw.randrange(len(CAUSES)) for _ in range(number))
    return [(label, (CAUSES[label][0], CAUSES[label][1](draw), CAUSES[label][2](draw))) for label in chosen]


def test_thousands_of_failures_of_twenty_causes_are_twenty_problems():
    number = 10_000 if THOROUGH else 1_000
    groups: dict[str, Counter[int]] = defaultdict(Counter)
    for label, (kind, message, frames) in corpus(number):
        groups[cause_of(kind, message, frames).fingerprint][label] += 1

    rightly = sum(labels.most_common(1)[0][1] for labels in groups.values())
    assert len(groups) <= 22
    assert rightly >= 0.95 * number
    # And none of them is split.
    largest: Counter[int] = Counter()
    for labels in groups.values():
        for label, number in labels.items():
            largest[label] = max(largest[label], number)
    assert sum(largest.values()) >= 0.95 * number


def test_without_frames_the_words_of_states_place_them_as_well():
    groups: dict[str, Counter[int]] = defaultdict(Counter)
    for label, (kind, message, _) in corpus(2_000 if THOROUGH else 1_000, seed=8):
        groups[cause_of_state(None, "Failed", f"The task raised {kind}: {message}", scope="f").fingerprint][label] += 1

    # The same error in two functions is one where nothing is known but the words.
    assert 19 <= len(groups) <= 22
