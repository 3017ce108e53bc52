"""Values for other processes name where their code is, with every version of cloudpickle."""

from __future__ import annotations

import copyreg
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orionflow import task
from orionflow.serializers import serializer_of
from orionflow.values.pickling import dumps, loads
from tests import warm

COUNTER: list[int] = []


@task
def held_by_module(x: int) -> int:
    COUNTER.append(x)
    raise ValueError("held")


class Scaler:
    @task
    def scale(self, x: int) -> int:
        raise ValueError("scale")


def local() -> Any:
    def inner() -> None:
        raise ValueError("local")

    return inner


def place_of_error(call: Any) -> tuple[str, str]:
    try:
        call()
    except ValueError as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return frame.filename, frame.line or ""
    raise AssertionError("it did not raise")


@pytest.mark.parametrize("by_reference", [True, False])
@pytest.mark.parametrize(
    ("fn", "args", "line"),
    [
        (held_by_module.fn, (1,), 'raise ValueError("held")'),
        (Scaler().scale.fn, (1,), 'raise ValueError("scale")'),
        (local(), (), 'raise ValueError("local")'),
    ],
)
def test_functions_keep_file_and_line(fn: Any, args: tuple[Any, ...], line: str, by_reference: bool):
    there = loads(dumps(fn, by_reference=by_reference))

    assert place_of_error(lambda: there(*args)) == (__file__, line)


def test_results_that_are_functions_keep_file_and_line():
    there = serializer_of("pickle").loads(serializer_of("pickle").dumps(local()))

    assert place_of_error(there)[0] == __file__


def test_functions_of_modules_are_those_of_the_module_there():
    assert loads(dumps(held_by_module.fn, by_reference=True)) is held_by_module.fn


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from orionflow.values.pickling import loads
fn = loads(open(sys.argv[2], "rb").read())
try:
    print(fn())
except ValueError as error:
    import traceback
    print(traceback.extract_tb(error.__traceback__)[-1].filename)
"""


@pytest.mark.parametrize("there", ["the same", "another version", "nothing"])
def test_function_runs_as_defined_here_whichever_module_the_other_process_has(
    there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    source = "from orionflow import task\n\n@task\ndef version():\n    return {}\n"
    here, elsewhere = tmp_path / "here", tmp_path / "there"
    for folder, number in ((here, 1), (elsewhere, 1 if there == "the same" else 2)):
        folder.mkdir()
        (folder / "shipped_module.py").write_text(source.format(number))
    if there == "nothing":
        (elsewhere / "shipped_module.py").unlink()
    monkeypatch.syspath_prepend(str(here))
    import shipped_module  # type: ignore[import-not-found]

    (tmp_path / "pickle").write_bytes(dumps(shipped_module.version.fn, by_reference=True))
    monkeypatch.delitem(sys.modules, "shipped_module")
    output = warm.run(
        [sys.executable, "-c", PROGRAM, str(elsewhere), str(tmp_path / "pickle")],
        capture_output=True,
        text=True,
        check=True,
    )

    assert output.stdout.strip() == "1"


class WithCode(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code


class WithDefault(ValueError):
    def __init__(self, name: str, unit: str = "m") -> None:
        super().__init__(f"{name} in {unit}")


class WithKeyword(Exception):
    def __init__(self, *, place: str) -> None:
        self.place = place


class WithSlots(Exception):
    __slots__ = ("place",)

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.place = place


class WithPrivateSlot(WithSlots):
    __slots__ = ("__reason", "unset")

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(place)
        self.__reason = reason

    @property
    def reason(self) -> str:
        return self.__reason


class WithNew(Exception):
    def __new__(cls, *parts: str) -> WithNew:
        return super().__new__(cls, "-".join(parts))

    def __init__(self, one: str, two: str) -> None:
        self.one = one


@dataclass(frozen=True)
class Frozen(Exception):
    place: str


class WithOwnArgs(Exception):
    args: Any = None

    def __init__(self, command: str, args: dict[str, str]) -> None:
        super().__init__(command)
        self.args = args


class NotThere(FileNotFoundError):
    def __init__(self, path: str) -> None:
        super().__init__(2, "No such file", path)
        self.path = path


class Undecodable(UnicodeDecodeError):
    def __init__(self, text: bytes) -> None:
        super().__init__("utf-8", text, 0, 1, "odd")


class Misspelled(SyntaxError):
    __slots__ = ("place",)

    def __init__(self, line: int, *, place: str) -> None:
        super().__init__("odd", (place, line, 1, "text"))
        self.place = place


class NoModule(ImportError):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"neither {first} nor {second}", name=second)


class Leaving(SystemExit):
    def __init__(self, *, why: str) -> None:
        super().__init__(3)
        self.why = why


class Several(ExceptionGroup[ValueError]):
    def __new__(cls, *, errors: list[ValueError]) -> Several:
        return super().__new__(cls, "several", errors)

    def __init__(self, *, errors: list[ValueError]) -> None:
        self.number = len(errors)


class Opened(OSError):
    def __new__(cls, path: str) -> Opened:
        return super().__new__(cls, 13, "Not allowed", path)

    def __init__(self, path: str) -> None: ...


@dataclass(frozen=True)
class FrozenEnd(StopIteration):
    place: str


@pytest.mark.parametrize(
    ("error", "attribute"),
    [
        (WithCode(404, "no such file"), "code"),
        (WithDefault("length"), "args"),
        (WithKeyword(place="here"), "place"),
        (WithSlots("here"), "place"),
        (WithPrivateSlot("here", "private"), "place"),
        (WithPrivateSlot("here", "private"), "reason"),
        (WithNew("a", "b"), "one"),
        (Frozen("here"), "place"),
        (WithOwnArgs("ls", {"-l": "yes"}), "args"),
        (NotThere("/none"), "path"),
        (NotThere("/none"), "filename"),
        (Undecodable(b"x"), "object"),
        (Misspelled(7, place="here"), "lineno"),
        (Misspelled(7, place="here"), "place"),
        (NoModule("a", "b"), "name"),
        (Leaving(why="enough"), "code"),
        (Leaving(why="enough"), "why"),
        (Several(errors=[ValueError("one")]), "message"),
        (Several(errors=[ValueError("one")]), "number"),
        (Opened("/root"), "errno"),
        (FrozenEnd("here"), "place"),
    ],
    ids=lambda given: type(given).__name__,
)
def test_exceptions_are_the_same_whatever_their_class_is_called_with(error: BaseException, attribute: str):
    vars(error)["__notes__"] = ["noted"]

    there = loads(dumps(error))

    assert type(there) is type(error)
    assert (str(there), repr(there.args), there.__notes__) == (str(error), repr(error.args), ["noted"])
    assert getattr(there, attribute) == getattr(error, attribute)


def test_an_exception_may_refer_to_itself():
    error = WithCode(1, "loop")
    error.others = [error]  # type: ignore[attr-defined]

    there = loads(dumps(error))

    assert there.others == [there]


def test_exceptions_are_the_same_where_another_library_pickles_their_class(monkeypatch: pytest.MonkeyPatch):
    # Dask registers all exceptions when it is imported, and its pickles lose what slots hold.
    monkeypatch.setitem(copyreg.dispatch_table, WithSlots, lambda error: (WithSlots.__new__, (WithSlots,)))

    there = loads(dumps(WithSlots("here")))

    assert (there.place, there.args) == ("here", ("here",))
