"""Text of strangers stays text, in any field: the server unpickles, compiles, starts, opens and calls nothing.

Python itself watches (`sys.addaudithook`) while each operation is asked with poison in each of its fields.
"""

from __future__ import annotations

import base64
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import cycle
from typing import Any

import pytest
from django.db import transaction
from django.urls import get_resolver

from tests.api.conftest import Api
from tests.api.test_hostile_values import places, with_value
from tests.contract import test_golden
from tests.contract.test_golden import conversation
from tests.rounds import THOROUGH, share
from tests.security.test_walk import SOME_ID, addresses

__all__ = ["conversation"]
MARK = "poison9f3"


class _Bomb:
    def __reduce__(self) -> Any:
        return (exec, (f"open('/tmp/{MARK}', 'w')",))


PICKLED = pickle.dumps(_Bomb())
POISON: list[Any] = [
    base64.b64encode(PICKLED).decode(),
    f"cos\nsystem\n(S'touch /tmp/{MARK}'\ntR.",
    {"type": "unpersisted", "blob": base64.b64encode(PICKLED).decode(), "serializer": {"type": "pickle"}},
    {"encoding": "blockstorage", "blob": base64.b64encode(PICKLED).decode()},
    f"!!python/object/apply:os.system ['touch /tmp/{MARK}']",
    {"__class__": "os.system", "args": [MARK]},
    {"py/object": "os.system", "py/reduce": [{"py/function": "os.system"}, [MARK]]},
    {"__prefect_kind": "jinja", "template": f"{{{{ cycler.__init__.__globals__.os.system('{MARK}') }}}}"},
    f"{{{{ ''.__class__.__mro__[1].__subclasses__() }}}}{MARK}",
    f"{{{{ self.__init__.__globals__.__builtins__.__import__('os').system('{MARK}') }}}}",
    f"{{flow_run.__class__.__init__.__globals__}}{MARK}",
    f"__import__('os').system('{MARK}')",
    f"lambda: {MARK}",
    f"os:system;{MARK}",
    f"{MARK}.module:function",
    f"$(touch /tmp/{MARK})`touch /tmp/{MARK}`;|touch /tmp/{MARK}",
    f"--upload-pack=touch /tmp/{MARK}",
    f"${{jndi:ldap://127.0.0.1:9/{MARK}}}",
    {"$ref": f"http://127.0.0.1:9/{MARK}"},
    {"$ref": f"file:///tmp/{MARK}"},
    f"http://127.0.0.1:9/{MARK}",
    f"file:///tmp/{MARK}",
    f"../../../../../../tmp/{MARK}",
    f"/tmp/{MARK}",
    f"..%2f..%2f..%252f..%252ftmp/{MARK}",
    f"' OR 1=1 --{MARK}",
    f"id) UNION SELECT password FROM auth_user --{MARK}",
]
# What a server never does for whoever asks.
NEVER = {
    *("pickle.find_class", "marshal.load", "marshal.loads"),
    *("subprocess.Popen", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "os.forkpty", "pty.spawn"),
    *("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request"),
    *("ctypes.dlopen", "shutil.rmtree", "shutil.unpack_archive", "webbrowser.open", "code.__new__"),
}
# These it does, though not with what a stranger wrote.
WITH_MARK = {"compile", "exec", "import", "open", "os.listdir", "os.scandir", "os.remove", "os.rename", "os.mkdir"}
# Texts of automations and parameters are Jinja, which compiles them for its sandbox, without attributes or calls.
SANDBOX = "<template>"

_seen: list[str] | None = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is None:
        return
    is_never = event in NEVER and not _is_of_an_import(event)
    if is_never or (event in WITH_MARK and MARK in _shown(arguments) and not _is_harmless(event, arguments)):
        _seen.append(f"{event}{arguments!r}"[:300])


def _is_of_an_import(event: str) -> bool:
    """A module that is imported for the first time is read by `marshal`."""
    if not event.startswith("marshal"):
        return False
    frame: Any = sys._getframe(2)
    while frame is not None:
        if "importlib" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def _shown(arguments: tuple[Any, ...]) -> str:
    """The texts among the arguments of an event, and the constants of code."""
    return " ".join(
        str(one.co_consts) + one.co_filename if hasattr(one, "co_consts") else str(one)
        for one in arguments
        if isinstance(one, str | bytes) or hasattr(one, "co_consts")
    )


def _is_harmless(event: str, arguments: tuple[Any, ...]) -> bool:
    if event == "open" and "/zoneinfo/" in _shown(arguments) and ".." not in _shown(arguments):
        # A zone that somebody named, looked for where zones are.
        return True
    named = arguments[-1] if event == "compile" else getattr(arguments[0], "co_filename", "")
    return event in {"compile", "exec"} and named == SANDBOX


@lru_cache(maxsize=1)
def _begin_to_watch() -> None:
    # A hook stays as long as its process.
    sys.addaudithook(_watch)


@contextmanager
def watched() -> Iterator[list[str]]:
    """Watch Python, and keep what it does that a server never does."""
    global _seen
    _begin_to_watch()
    _seen = found = []
    try:
        yield found
    finally:
        _seen = None


class PoisonedApi(Api):
    """Asks each thing again and again, with poison in another field each time; nothing of that is kept.

    In a brief round the two databases take every second field each.
    """

    rounds = 1

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.broken: list[str] = []
        self.asked = 0
        self._poison = cycle(POISON)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        if isinstance(body, dict | list):
            for place in [*share([*places(body)], 0, 2)] * self.rounds:
                self._poisoned(method, path, with_value(body, place, next(self._poison)), headers)
        with watched() as found:
            answer = super().call(method, path, body, **headers)
        self.found |= {f"{method} {path}: {one}" for one in found}
        return answer

    def _poisoned(self, method: str, path: str, body: Any, headers: dict[str, str]) -> None:
        self.asked += 1
        with transaction.atomic():
            with watched() as found:
                answer = super().call(method, path, body, **headers)
            transaction.set_rollback(True)
        self.found |= {f"{method} {path}: {one}" for one in found}
        if answer.status_code >= 500:
            self.broken.append(f"{method} {path} {body}: {answer.status_code}")


@pytest.mark.undivided
@pytest.mark.slow
def test_no_operation_does_anything_with_poison_in_any_of_its_fields(db: None, monkeypatch: Any, request: Any):
    made: list[PoisonedApi] = []

    def make() -> PoisonedApi:
        made.append(PoisonedApi())
        made[-1].rounds = len(POISON) if THOROUGH else 1
        return made[-1]

    monkeypatch.setattr(test_golden, "Api", make)

    request.getfixturevalue("conversation")

    (api,) = made
    assert api.asked > 300
    assert sorted(api.found) == []
    assert api.broken == []


def test_the_watch_sees_what_it_is_meant_for(tmp_path: Any):
    with watched() as found:
        with pytest.raises(FileNotFoundError):
            open(tmp_path / MARK)  # noqa: SIM115
        compile(f"'{MARK}'", "<string>", "eval")
        pickle.loads(pickle.dumps(Api))

    assert [one.partition("(")[0] for one in found] == ["open", "compile", "pickle.find_class"]


PATHS = [
    "../../../../etc/passwd",
    "..%2f..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "%252e%252e%252f%252e%252e%252fetc%252fpasswd",
    "..%5c..%5c..%5cetc%5cpasswd",
    "....//....//....//etc/passwd",
    "..;/..;/etc/passwd",
    "%c0%ae%c0%ae/%c0%ae%c0%ae/etc/passwd",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "file:///etc/passwd",
    "..%00/etc/passwd",
]


@pytest.mark.parametrize("path", PATHS)
def test_no_address_leads_out_of_its_folder(api: Any, path: str):
    """Requests have a path out of the folder in place of each name, and of the name of a static file."""
    named = {one.replace(SOME_ID, path, 1) for one, _ in addresses(get_resolver()) if SOME_ID in one}
    assert len(named) > 80

    asked = sorted(named | {f"/static/{path}", f"/static/css/{path}"})
    for address in share(asked, PATHS.index(path), 4):
        answer = api.get(address, headers={"host": "localhost:4200"})
        text = b"".join(answer.streaming_content) if answer.streaming else answer.content
        assert answer.status_code < 500, address
        assert b"root:" not in text, address
