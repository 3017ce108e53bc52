"""`pytest --side-by-side N`: collect once, then run the tests in N processes that are forked from there.

Loading the product and all tests takes seven seconds, and pytest-xdist (`-n`) does it in each of its workers. As there,
each process starts with adjacent tests, which share servers, and takes tests of the others when it is done; it has a
home and temporary folders of its own.
"""

from __future__ import annotations

import atexit
import gc
import multiprocessing
import os
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NoReturn

import pytest
from _pytest.config import create_terminal_writer

# Loading and collecting create half a million objects that stay, and searching these for garbage takes a third of that
# time. No other plugin is loaded earlier; tests/conftest.py enables the search when tests begin.
gc.disable()

PROCESSES = multiprocessing.get_context("fork")
# A process that is killed sends nothing.
SECONDS_BETWEEN_LOOKS = 1


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--side-by-side", type=int, default=0, metavar="N", help="collect once, and run the tests in N forked processes"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    count = min(session.config.getoption("side_by_side"), len(session.items))
    if not count or session.testsfailed or session.config.option.collectonly:
        return None
    assert threading.active_count() == 1, f"threads would be missing in the forked processes: {threading.enumerate()}"
    # So that each process makes its own folder in it.
    session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    shares = Shares([str(item.path) for item in session.items], count)
    workers = [Worker(session, shares, number) for number in range(count)]
    try:
        _report_what_they_send(session, shares, workers)
    except BaseException:
        shares.withdraw()
        raise
    finally:
        for worker in workers:
            worker.end()
    return True


class Shares:
    """Which tests each process has still to run: a range, of which others may take the second half."""

    def __init__(self, files: Sequence[str], count: int) -> None:
        self._starts = [place for place, file in enumerate(files) if not place or file != files[place - 1]]
        bounds = [self._start_near(len(files) * number // count) for number in range(count)] + [len(files)]
        self._next = PROCESSES.Array("i", bounds[:-1])
        self._end = PROCESSES.Array("i", bounds[1:], lock=False)

    def take(self, number: int) -> int | None:
        """Return the next test for a process."""
        with self._next.get_lock():
            if self._next[number] == self._end[number] and not self._take_from_another(number):
                return None
            place: int = self._next[number]
            self._next[number] = place + 1
            return place

    def withdraw(self) -> None:
        """Let every process end after its current test."""
        with self._next.get_lock():
            self._next[:] = self._end[:]

    def _take_from_another(self, number: int) -> bool:
        rests = [self._end[other] - self._next[other] for other in range(len(self._end))]
        richest = max(range(len(rests)), key=rests.__getitem__)
        if not rests[richest]:
            return False
        end = self._end[richest]
        middle = self._start_near(end - (rests[richest] + 1) // 2)
        # A file is divided as well where it is the last one.
        if not self._next[richest] < middle < end:
            middle = end - (rests[richest] + 1) // 2
        self._next[number], self._end[number], self._end[richest] = middle, end, middle
        return True

    def _start_near(self, place: int) -> int:
        """Return where a file starts, so that its tests stay together."""
        return min(self._starts, key=lambda start: abs(start - place))


class Worker:
    """A forked process, and what it sends: reports of tests, and warnings."""

    def __init__(self, session: pytest.Session, shares: Shares, number: int) -> None:
        self.received, sends = PROCESSES.Pipe(duplex=False)
        sys.stdout.flush()
        sys.stderr.flush()
        self.test = ""
        self._code: int | None = None
        self._process = os.fork()
        if not self._process:
            self.received.close()
            _run_share(session, shares, number, sends)
        sends.close()

    def messages(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Return what has come since the last call."""
        with suppress(EOFError):
            while self.received.poll():
                yield self.received.recv()

    def exit_code(self) -> int | None:
        """Return the exit code of the process, or None while it runs.

        The end of its messages would not tell, as processes that it has forked hold the pipe as well.
        """
        return self._wait(os.WNOHANG)

    def end(self) -> None:
        """Wait until the process has ended."""
        self.received.close()
        self._wait(0)

    def _wait(self, how: int) -> int | None:
        if self._code is None and (ended := os.waitpid(self._process, how))[0]:
            self._code = os.waitstatus_to_exitcode(ended[1])
        return self._code


def _report_what_they_send(session: pytest.Session, shares: Shares, workers: Sequence[Worker]) -> None:
    hook = session.config.hook
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if terminal and session.config.option.verbose < 1:
        # Tests of several files come in turn.
        terminal.showfspath = False
    missing = {item.nodeid: item for item in session.items}
    left = list(workers)
    while left:
        wait([worker.received for worker in left], SECONDS_BETWEEN_LOOKS)
        for worker in list(left):
            code = worker.exit_code()
            for what, sent in worker.messages():
                match what:
                    case "start":
                        worker.test = sent["nodeid"]
                        hook.pytest_runtest_logstart(**sent)
                    case "end":
                        del missing[worker.test]
                        hook.pytest_runtest_logfinish(**sent)
                    case "report":
                        report = hook.pytest_report_from_serializable(config=session.config, data=sent)
                        hook.pytest_runtest_logreport(report=report)
                    case "warning":
                        hook.pytest_warning_recorded.call_historic(kwargs=sent)
            if code is not None:
                left.remove(worker)
                if ended := missing.pop(worker.test, None):
                    _fail(ended, f"The process that ran this test ended with {code}.")
                elif code:
                    session.shouldfail = f"a process that runs tests ended with {code}; it may have said why"
        if session.shouldfail or session.shouldstop:
            shares.withdraw()
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)
    for item in missing.values():
        _fail(item, "No process has run this test, as the one that had taken it ended before.")


def _fail(item: pytest.Item, why: str) -> None:
    report = pytest.TestReport(item.nodeid, item.location, {}, "failed", why, "call")
    item.config.hook.pytest_runtest_logreport(report=report)


class Sender:
    """The plugin of a forked process, instead of the terminal."""

    def __init__(self, config: pytest.Config, sends: Connection) -> None:
        self._config, self._sends = config, sends

    def _send(self, what: str, **sent: Any) -> None:
        self._sends.send((what, sent))

    def pytest_runtest_logstart(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        self._send("start", nodeid=nodeid, location=location)

    def pytest_runtest_logfinish(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        self._send("end", nodeid=nodeid, location=location)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._send("report", **self._config.hook.pytest_report_to_serializable(config=self._config, report=report))

    def pytest_warning_recorded(
        self, warning_message: warnings.WarningMessage, when: str, nodeid: str, location: tuple[str, int, str] | None
    ) -> None:
        if when == "collect":
            # The first process has reported it, and pytest repeats it for each new plugin.
            return
        warning = warning_message
        # Its arguments and its source may be anything.
        warning = warnings.WarningMessage(str(warning.message), warning.category, warning.filename, warning.lineno)
        self._send("warning", warning_message=warning, when=when, nodeid=nodeid, location=location)


class Silent:
    """Stands for the terminal in a forked process: pytest-timeout writes there when a test takes too long."""

    def __init__(self, config: pytest.Config) -> None:
        self._tw = create_terminal_writer(config, sys.stderr)


def _run_share(session: pytest.Session, shares: Shares, number: int, sends: Connection) -> NoReturn:
    code = 1
    try:
        _settle(session.config, number)
        session.config.pluginmanager.register(Sender(session.config, sends), "side_by_side_sender")
        try:
            _run(session, shares, number)
        finally:
            # Servers that tests share end with their fixtures, after an interruption as well.
            session.config.hook.pytest_sessionfinish(session=session, exitstatus=0)
            atexit._run_exitfuncs()
        code = 0
    except (KeyboardInterrupt, BrokenPipeError):
        code = pytest.ExitCode.INTERRUPTED
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(session: pytest.Session, shares: Shares, number: int) -> None:
    place = shares.take(number)
    while place is not None:
        item, place = session.items[place], shares.take(number)
        following = None if place is None else session.items[place]
        session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)


def _settle(config: Any, number: int) -> None:
    """Let the process share no files with the others."""
    from tests import settings

    atexit._clear()
    name = f"gw{number}"
    # As in a worker of pytest-xdist, which plugins and tests recognise by it.
    config.workerinput = {"workerid": name}
    os.environ["PYTEST_XDIST_WORKER"] = name
    config.pluginmanager.unregister(name="terminalreporter")
    config.pluginmanager.register(Silent(config), "terminalreporter")
    _capture_into_own_files(config.pluginmanager.get_plugin("capturemanager"))
    config.option.basetemp = str(Path(config._tmp_path_factory.getbasetemp(), name))
    config._tmp_path_factory = pytest.TempPathFactory.from_config(config, _ispytest=True)
    settings.make_home_of_a_fork()


def _capture_into_own_files(manager: Any) -> None:
    # Behind the same objects, as handlers of logs write into them.
    captures = manager._global_capturing
    for one in (captures.out, captures.err) if captures else ():
        if hasattr(one, "tmpfile"):
            with tempfile.TemporaryFile() as own:
                os.dup2(own.fileno(), one.tmpfile.fileno(), inheritable=False)
