"""The launcher: it has the SDK loaded and no threads, and forks one process for each run within a few milliseconds.

It also guards them. Only the launcher knows which process ids are still valid, so signals go through it. When a process
ends, the rest of its group is killed; when the agent ends, all of them are. Both sides exchange lines of JSON on one
socket.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from orionflow.agent.containment import (
    HELD_BACK,
    become_run,
    kill_group,
    ordinary_signals,
    set_apart,
    system_library,
)
from orionflow.agent.guard import Guard, start_guard

Message = dict[str, Any]
REPORT_VARIABLE = "ORION_AGENT_REPORT"
# Seconds without work after which a process is forked in advance, so not while many runs start.
IDLE_SECONDS = 0.05
PATIENCE_SECONDS = 1.0


class Lines:
    """The messages that arrive on a socket."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._rest = b""

    def receive(self) -> list[Message] | None:
        """Return the messages that arrived since the last call; None if the other side has closed the socket."""
        try:
            part = self._channel.recv(1 << 20)
        except ConnectionError:
            part = b""
        if not part:
            return None
        *lines, self._rest = (self._rest + part).split(b"\n")
        return [json.loads(line) for line in lines]

    def __iter__(self) -> Iterator[Message]:
        while (messages := self.receive()) is not None:
            yield from messages


def send_line(channel: socket.socket, message: Message) -> None:
    channel.sendall(json.dumps(message, default=str).encode() + b"\n")


@dataclass(frozen=True, slots=True)
class Spare:
    """A process that was forked in advance, and waits for its order."""

    pid: int
    channel: socket.socket

    def take(self, message: Message) -> bool:
        """Send the order and return whether it was sent. A stopped process gets none, as it would not start."""
        with self.channel:
            if _stands_still(self.pid):
                return False
            try:
                send_line(self.channel, message)
            except OSError:
                return False
        return True


class Zygote:
    """Forks, signals and collects processes; single-threaded, because a fork copies only the thread that forks."""

    def __init__(self, agent: socket.socket, guard: Guard) -> None:
        self._agent, self._guard = agent, guard
        self._lines = Lines(agent)
        self._pids: dict[str, int] = {}
        # One process is forked before it is needed, when there is nothing else to do, so that a run starts sooner.
        self._spare: Spare | None = None
        self._wants_spare = True
        # Datagrams of children that say how their runs ended: a process that dies without one has crashed.
        self._reports, self._reports_in = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._wake, self._waker = socket.socketpair()
        for end in (self._reports, self._wake, self._waker):
            end.setblocking(False)

    def serve(self) -> Message | None:
        """Work until the agent ends. Return in each forked child, with its order."""
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # Blocked and not ignored: a signal to a new child must wait until the child can handle it.
        signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
        self._send({"ready": os.getpid()})
        while True:
            ready, _, _ = select.select(
                [self._agent, self._reports, self._wake], [], [], IDLE_SECONDS if self._wants_spare else None
            )
            if not ready and (order := self._fork_spare()) is not None:
                return order
            if self._wake in ready:
                self._wake.recv(4096)
            self._forward()
            self._reap()
            if self._agent in ready:
                messages = self._lines.receive()
                if messages is None:
                    self._end()
                for message in messages:
                    if (order := self._follow(message)) is not None:
                        return order

    def _follow(self, message: Message) -> Message | None:
        if "signal" in message:
            if pid := self._pids.get(message["key"]):
                _signal(pid, message["signal"])
            return None
        return self._start(message["key"], message)

    def _start(self, key: str, message: Message) -> Message | None:
        spare, self._spare = self._spare, None
        self._wants_spare = True
        if spare is None:
            return self._fork(key, message)
        if not spare.take(message):
            # Another process killed or stopped it a moment ago.
            kill_group(spare.pid)
            os.waitpid(spare.pid, 0)
            self._guard.remove(spare.pid)
            return self._fork(key, message)
        self._pids[key] = spare.pid
        self._send({"key": key, "pid": spare.pid})
        return None

    def _fork_spare(self) -> Message | None:
        """Fork the spare process, and return only in the spare, with its order."""
        self._wants_spare = False
        launcher = os.getpid()
        ours, theirs = socket.socketpair()
        try:
            pid = os.fork()
        except OSError:
            # The machine is full: the next run gets an error.
            ours.close()
            theirs.close()
            return None
        if pid == 0:
            ours.close()
            self._leave_launcher(launcher)
            return self._order_of_spare(theirs)
        theirs.close()
        # A stopped spare process must not hold up the launcher.
        ours.settimeout(PATIENCE_SECONDS)
        self._spare = Spare(pid, ours)
        self._guard.add(pid)
        return None

    def _order_of_spare(self, channel: socket.socket) -> Message:
        from orionflow.agent.rehearsal import rehearse

        with channel:
            # It ends with the launcher, even without the kernel's help. It has no run that Ctrl-C could end.
            try:
                rehearse()
                message = next(iter(Lines(channel)), None)
            except KeyboardInterrupt:
                message = None
        if message is None:
            os._exit(0)
        return self._begin(message)

    def _fork(self, key: str, message: Message) -> Message | None:
        launcher = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            # The machine is full. That ends this run, but not the others.
            why = f"No process can be started on this machine: {error.strerror}."
            self._send({"key": key, "report": {"error": why, "is_agents_fault": True}})
            self._send({"key": key, "ended": None})
            return None
        if pid == 0:
            self._leave_launcher(launcher)
            return self._begin(message)
        self._pids[key] = pid
        self._guard.add(pid)
        self._send({"key": key, "pid": pid})
        return None

    def _leave_launcher(self, launcher: int) -> None:
        ordinary_signals()
        set_apart(launcher)
        for end in (self._agent, self._reports, self._wake, self._waker, self._guard):
            end.close()

    def _begin(self, message: Message) -> Message:
        order: Message = message["order"]
        become_run(order.get("limits") or {})
        os.set_inheritable(self._reports_in.fileno(), True)
        os.environ[REPORT_VARIABLE] = f"{self._reports_in.detach()}:{message['key']}"
        return order

    def _forward(self) -> None:
        while True:
            try:
                datagram = self._reports.recv(1 << 16)
            except BlockingIOError:
                return
            key, _, report = datagram.partition(b"\n")
            self._send({"key": key.decode(), "report": json.loads(report)})

    def _reap(self) -> None:
        if self._spare is not None and _reaped(self._spare.pid) is not None:
            # Another process killed it. The next one is forked after the next run.
            self._guard.remove(self._spare.pid)
            self._spare.channel.close()
            self._spare = None
        for key, pid in list(self._pids.items()):
            if (status := _reaped(pid)) is None:
                continue
            del self._pids[key]
            self._guard.remove(pid)
            self._forward()
            self._send({"key": key, "ended": os.waitstatus_to_exitcode(status)})

    def _send(self, message: Message) -> None:
        try:
            send_line(self._agent, message)
        except OSError:
            self._end()

    def _end(self) -> NoReturn:
        """Kill all processes and exit, as the agent has ended."""
        for pid in (*self._pids.values(), *([self._spare.pid] if self._spare else ())):
            kill_group(pid)
        os._exit(0)


def _signal(pid: int, number: int) -> None:
    """Signal a child that was not collected, and everything that it started."""
    with suppress(PermissionError):
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            # It was forked a moment ago, and has no group yet.
            os.kill(pid, number)


def _stands_still(pid: int) -> bool:
    """Whether a child of this process is stopped; its exit status is not consumed."""
    if not hasattr(os, "waitid"):
        return False
    with suppress(ChildProcessError):
        return os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
    return False


def _reaped(pid: int) -> int | None:
    """Return the status of a child that ended, or None, and kill the rest of its group."""
    if hasattr(os, "waitid"):
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        # Its id cannot be reused until it is collected.
        kill_group(pid)
        return os.waitpid(pid, 0)[1]
    ended, status = os.waitpid(pid, os.WNOHANG)
    if not ended:
        return None
    kill_group(pid)
    return status


def warm_up() -> None:
    """Load what every run needs, so that no run has to."""
    from orionflow.agent import child

    child.load_everything()
    if sys.platform == "linux":
        system_library()
    # Children share the current memory until it is written to, which the garbage collector would do.
    gc.collect()
    gc.freeze()


def replace_process(order: Message) -> None:
    """Replace this process by a fresh interpreter, which reads its order from stdin."""
    with tempfile.TemporaryFile() as file:
        file.write(json.dumps(order, default=str).encode())
        file.seek(0)
        os.dup2(file.fileno(), 0)
    environment = {**os.environ, **order["env"]}  # nosemgrep: whole-environment-for-a-process (cut down when it began)
    os.execvpe(order["command"][0], order["command"], environment)  # noqa: S606 (what the agent is for)


def run_order(order: Message) -> None:
    """Execute the order in a forked child, and exit."""
    from orionflow.agent import child

    if order.get("command"):
        try:
            replace_process(order)
        except OSError as error:
            child.report({"error": f"{order['command'][0]} cannot be started: {error.strerror}."})
            sys.exit(127)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    child.execute(order)


def main() -> None:
    agent = socket.socket(fileno=int(sys.argv[1]))
    # Before anything is loaded, as the guard needs none of it.
    zygote = Zygote(agent, start_guard(agent.fileno()))
    warm_up()
    order = zygote.serve()
    if order is not None:
        run_order(order)


if __name__ == "__main__":
    main()
