"""Start a server with a home of its own, run the acceptance scenarios against it with another client, stop it.

`python -m tests.compat.serve_and_run SCENARIOS CLIENT_PYTHON [--database postgresql] [arguments of the scenarios]`
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.ports import lasting_port
from tests.postgresql import running_postgresql

START_SECONDS = 60


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", type=Path)
    parser.add_argument("client", type=Path)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    asked, further = parser.parse_known_args()
    database = running_postgresql() if asked.database == "postgresql" else nullcontext(None)
    with tempfile.TemporaryDirectory(prefix="orion-compat-") as home, database as url, serving(home, url) as api:
        command = [sys.executable, asked.scenarios / "run.py", "--api-url", api, "--prefect-python", asked.client]
        return subprocess.run([*map(str, command), *further]).returncode


@contextmanager
def serving(home: str, database_url: str | None) -> Iterator[str]:
    """A server on a free port; its log is shown if it does not come up."""
    port = lasting_port()
    environment = {**os.environ, "ORION_HOME": home}
    environment.pop("ORION_DATABASE_URL", None)
    if database_url:
        environment["ORION_DATABASE_URL"] = database_url
    orion = Path(sys.executable).with_name("orion")
    if database_url:
        # A server creates its SQLite file itself, but a shared database must be upgraded with this command.
        subprocess.run([str(orion), "database", "upgrade"], env=environment, check=True)
    log = Path(home, "server.log")
    with log.open("w") as output:
        command = [str(orion), "server", "start", "--port", str(port)]
        server = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    api = f"http://127.0.0.1:{port}/api"
    try:
        wait_until_healthy(api, server, log)
        yield api
    finally:
        server.terminate()
        server.wait(timeout=30)


def wait_until_healthy(api: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urlopen(f"{api}/health", timeout=2):
                return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.3)
    raise SystemExit(f"The server did not come up:\n{log.read_text()}")


if __name__ == "__main__":
    sys.exit(main())
