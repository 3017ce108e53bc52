"""A page as its reader follows it: files are saved, commands typed one after the other, and what they print compared.

`ORION_RENEW_OUTPUTS=1` writes what commands print into the pages, below those commands that show something already.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

from runs.naming import FIRST, SECOND
from tests.docs.blocks import Block, Command, blocks_of, commands_of
from tests.homes import ROOT
from tests.ports import lasting_port

# The pages whose commands are typed, in their order, and whose programs run between them.
FOLLOWED = [
    ROOT / "docs" / f"{name}.md"
    for name in (
        "tutorial",
        "howto/backfill",
        "howto/caching",
        "howto/calendars",
        "howto/from-cron",
        "howto/limits",
        "howto/logging",
        "howto/other-languages",
        "howto/parameters",
        "howto/retries",
        "howto/schedules",
        "howto/secrets",
        "howto/side-by-side",
    )  # fmt: skip
]

RENEW = os.environ.get("ORION_RENEW_OUTPUTS") == "1"
# The environment that the reader is asked to make is there already.
_INSTALLS = re.compile(r"python3? -m venv |source \S*activate|pip install ")
_END = "«end of a command»"
# A command may fail where the page shows that it does.
_FAILS = re.compile(r"[Ee]rror|[Ff]ailed|Crashed|exit|refused")
# What differs from one run to the next: a pattern that finds it in the page, and one that its real output matches.
VARIABLE = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", r"[0-9a-f-]{36}"),
    (r"\b[0-9a-f]{8}\b", r"[0-9a-f]{8}"),
    (r"\d{4}-\d\d-\d\d", r"\d{4}-\d\d-\d\d"),
    (r"\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?", r"\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?"),
    (r"\b(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+\b", r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+"),
    (r"\b\d+(?:\.\d+)? (?:kB|MB|bytes|seconds)\b", r"[\d.]+ (?:kB|MB|bytes|seconds)"),
    # An ellipsis on the page stands for any output.
    (r"…", r".*"),
)


class Session:
    """A shell in an empty folder, with a home of its own; its commands are those of this environment.

    With `installing` nothing is installed yet, as on a new user's machine: the commands of the page install it.
    """

    def __init__(self, folder: Path, home: Path, *, installing: bool = False) -> None:
        self.folder, self.port, self.installing = folder, lasting_port(), installing
        self.own_folders = {str(home): "~" if installing else "~/.orion", str(folder): "~", str(ROOT): "orion"}
        self.servers: list[subprocess.Popen[bytes]] = []
        ours = ("ORION_", "DJANGO_", "COLUMNS", "VIRTUAL_ENV", "PYTHON")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        here = Path(sys.executable).parent
        others = [place for place in kept["PATH"].split(os.pathsep) if Path(place) != here]
        self.environment = kept | {
            **({"HOME": str(home)} if installing else {"HOME": str(folder), "ORION_HOME": str(home)}),
            "PATH": os.pathsep.join([str(Path(sys.base_prefix, "bin") if installing else here), *others]),
            "COLUMNS": "110",
            "TZ": "UTC",
            "NO_COLOR": "1",
            "PS1": "",
        }
        self.shell = subprocess.Popen(
            ["/bin/bash", "--norc"], cwd=folder, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def close(self) -> None:
        for one in [*self.servers, self.shell]:
            one.terminate()
        for one in [*self.servers, self.shell]:
            one.wait(60)
            for stream in (one.stdin, one.stdout):
                if stream:
                    with suppress(BrokenPipeError):
                        stream.close()

    def type(self, typed: str) -> tuple[str, int]:
        """Type a line and return what it printed, with its exit code."""
        typed = typed.replace("4200", str(self.port))
        if re.match(r"orion server start\b", typed):
            return self._serve(typed), 0
        printed, code = self._typed(typed)
        return self._readable(printed), code

    def _typed(self, typed: str) -> tuple[str, int]:
        assert self.shell.stdin is not None
        assert self.shell.stdout is not None
        self.shell.stdin.write(f"{typed}\nended=$?; echo; echo '{_END}' $ended\n")
        self.shell.stdin.flush()
        printed: list[str] = []
        for line in self.shell.stdout:
            if line.startswith(_END):
                return "".join(printed), int(line.split()[-1])
            printed.append(line)
        raise AssertionError(f"the shell ended: {typed}\n{''.join(printed)}")

    def _serve(self, typed: str) -> str:
        words = [*typed.partition("#")[0].split(), "--port", str(self.port)]
        log = (self.folder / ".server.log").open("wb")
        # In a terminal of its own, in the same folder and with the same environment.
        environment = self.environment | {"PATH": self._typed("echo $PATH")[0].strip()}
        self.servers.append(
            subprocess.Popen(words, cwd=self.place(), env=environment, stdout=log, stderr=subprocess.STDOUT)
        )
        log.close()
        self.wait_for_server()
        return ""

    def place(self) -> Path:
        """The folder in which the reader is by now."""
        return Path(self._typed("pwd")[0].strip())

    def wait_for_server(self) -> None:
        # On a machine that has much else to do.
        until = time.monotonic() + 300
        while time.monotonic() < until:
            with suppress(OSError):
                urlopen(f"http://127.0.0.1:{self.port}/api/ready", timeout=5).close()
                return
            time.sleep(0.1)
        raise AssertionError((self.folder / ".server.log").read_text())

    def _readable(self, text: str) -> str:
        text = text.replace(str(self.port), "4200")
        for path, shown in self.own_folders.items():
            text = text.replace(path, shown)
        return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")


def follow(page: Path, session: Session) -> Iterator[str]:
    """Do what the page asks for, and yield where it differs from what happens."""
    for block in blocks_of(page):
        if block.saved_as:
            file = session.place() / block.saved_as
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text)
        elif block.language in ("console", "sh"):
            for command in commands_of(block):
                yield from _follow(block, command, session)


def _follow(block: Block, command: Command, session: Session) -> Iterator[str]:
    if _INSTALLS.match(command.typed) and not session.installing:
        return
    printed, code = session.type(command.typed)
    if RENEW and command.output:
        _renew(block.page, command, printed)
        return
    place = f"{block.page.name}:{command.line}: {command.typed}"
    if code != 0 and not _FAILS.search(command.output):
        yield f"{place}\nexits with {code}:\n{printed}"
    elif command.output and not matches(command.output, printed):
        yield f"{place}\nprints:\n{printed}\ninstead of:\n{command.output}"


def matches(shown: str, printed: str) -> bool:
    """Whether a page shows what was printed, but for times, ids, spaces and what it leaves out with `…`."""
    return re.fullmatch(r"\s*" + pattern(shown.strip()) + r"\s*", printed, re.DOTALL) is not None


def pattern(shown: str) -> str:
    variable = re.compile("|".join(f"({seen})" for seen, _ in VARIABLE))
    made, at = "", 0
    for found in variable.finditer(shown):
        made += _words(shown[at : found.start()]) + VARIABLE[(found.lastindex or 1) - 1][1]
        at = found.end()
    return made + _words(shown[at:])


def _words(text: str) -> str:
    """A pattern for plain text in which spaces may be of any width, and names of runs any other names."""
    parts = re.split(r"(\s+|\b[a-z]+-[a-z]+\b)", text)
    return "".join(
        r"\s+" if part.isspace() else _name(part) if re.fullmatch(r"[a-z]+-[a-z]+", part) else re.escape(part)
        for part in parts
    )


def _name(word: str) -> str:
    first, _, second = word.partition("-")
    return r"[a-z]+-[a-z]+" if first in FIRST and second in SECOND else re.escape(word)


def _renew(page: Path, command: Command, printed: str) -> None:
    text = page.read_text()
    indent = re.search(rf"^( *)\$ {re.escape(command.typed.splitlines()[0])}", text, re.MULTILINE)
    space = indent[1] if indent else ""

    def put(block: str) -> str:
        return "".join(f"{space}{line}".rstrip() + "\n" for line in block.rstrip("\n").splitlines())

    old = put("$ " + command.typed) + put(command.output)
    assert old in text, f"{command.typed}\n{old}"
    page.write_text(text.replace(old, put("$ " + command.typed) + put(printed), 1))
