"""A real Redis, and a real RabbitMQ, of a test's own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ports import lasting_port


def redis_server() -> str:
    """The program, or a skip that says how to get it."""
    found = shutil.which("redis-server")
    if found is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    return found


class Redis:
    """A Redis server that can be killed, stopped, thawed, flushed and started again on its port."""

    def __init__(self, folder: Path) -> None:
        self.port = lasting_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._program = redis_server()
        self.start()

    def start(self) -> None:
        command = [self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        self.process = subprocess.Popen(
            [*command, "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("redis-server did not start")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def flush(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as wire:
            wire.sendall(b"FLUSHALL\r\n")
            wire.recv(100)

    def has(self, key: str) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as wire:
            wire.sendall(f"EXISTS {key}\r\n".encode())
            return wire.recv(100).startswith(b":1")


@contextmanager
def running_rabbitmq() -> Iterator[str]:
    """The URL of a RabbitMQ server with nothing in it; a skip that says how to get one where there is none."""
    program = shutil.which("rabbitmq-server")
    if program is None:
        pytest.skip("rabbitmq-server is not installed: apt-get install rabbitmq-server")
    port = lasting_port()
    with tempfile.TemporaryDirectory(prefix="orion-rabbitmq-", ignore_cleanup_errors=True) as folder:
        # If root starts the program, it continues as the user rabbitmq.
        os.chmod(folder, 0o777)
        settings = {
            "HOME": folder,
            "RABBITMQ_NODENAME": f"orion{port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(lasting_port()),
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
        }
        output, written = Path(folder, "said"), Path(folder, "pid")
        with output.open("w") as file:
            process = subprocess.Popen([program], env={**os.environ, **settings}, stdout=file, stderr=file)
        try:
            _until_rabbitmq_serves(process, output)
            yield f"amqp://guest:guest@127.0.0.1:{port}//"
        finally:
            # It started a session of its own, so it is not in the process group that was started here.
            if written.exists():
                os.kill(int(written.read_text()), signal.SIGKILL)
            process.kill()
            process.wait()


def _until_rabbitmq_serves(process: subprocess.Popen[bytes], output: Path) -> None:
    until = time.monotonic() + 60
    while "Starting broker... completed" not in output.read_text():
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < until, output.read_text()
        time.sleep(0.1)


@contextmanager
def running_redis() -> Iterator[Redis]:
    with tempfile.TemporaryDirectory(prefix="orion-redis-") as folder:
        redis = Redis(Path(folder))
        try:
            yield redis
        finally:
            redis.thaw()
            redis.kill()
