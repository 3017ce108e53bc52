"""Programs of the tests that start warm are what cold ones are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import warm
from tests.homes import ready_home
from tests.printed import read_line
from tests.site.running import environment

SHOW = """
import json, os, sys, warnings
answer = {
    "argv": sys.argv, "path": sys.path[0], "stdin": sys.stdin.read(), "folder": os.getcwd(), "main": __name__,
    "environment": dict(os.environ), "warnings": sys.warnoptions, "filters": str(warnings.filters[:1]),
    "umask": os.umask(0), "session": os.getsid(0) == os.getpid(), "encoding": sys.stdout.encoding,
    "threads": __import__("threading").active_count(), "files": sorted(os.listdir("/proc/self/fd"))[:-1],
}
print(json.dumps(answer, sort_keys=True, default=str))
"""


def both(*words: str, **options: object) -> tuple[tuple[int, str, str], tuple[int, str, str]]:
    """Return the answers of a program that starts cold, and of one that starts warm."""
    usual = {"capture_output": True, "text": True, "timeout": 30, **options}
    done = [run([sys.executable, *words], **usual) for run in (subprocess.run, warm.run)]  # type: ignore[operator]
    return tuple((one.returncode, one.stdout, one.stderr) for one in done)  # type: ignore[return-value]


@pytest.mark.parametrize("way", ["-c", "-m", "file"])
def test_a_warm_program_sees_what_a_cold_one_sees(way, tmp_path):
    (tmp_path / "shown.py").write_text(SHOW)
    words = {"-c": ["-c", SHOW], "-m": ["-m", "shown"], "file": [str(tmp_path / "shown.py")]}[way]
    environment = {"A": "é", "LC_CTYPE": "C.UTF-8", "TZ": "Asia/Tokyo", "PYTHONWARNINGS": "ignore::UserWarning"}

    cold, warmed = both(
        "-W", "error::BytesWarning", *words, "one", "zwei", input="sent", env=environment, cwd=tmp_path, umask=0o27,
        start_new_session=True,
    )  # fmt: skip

    assert warmed == cold
    assert '"stdin": "sent"' in cold[1]


@pytest.mark.parametrize(
    "code",
    [
        "1 / 0",
        "import sys; sys.exit(3)",
        "import sys; sys.exit('in words')",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        "import atexit; atexit.register(print, 'at the end')",
        "import threading, time; threading.Thread(target=lambda: (time.sleep(0.1), print('late'))).start()",
        "import os; os._exit(7)",
        "print(1); import os; os._exit(7)",
        "import sys; sys.stderr.write('half a line'); import os; os._exit(7)",
        "def inner():\n    raise ValueError('deep')\ninner()",
    ],
)
@pytest.mark.parametrize(("words", "unbuffered"), [([], ""), ([], "1"), (["-u"], "")])
def test_a_warm_program_ends_as_a_cold_one_ends(code, words, unbuffered):
    cold, warmed = both(*words, "-c", code, env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": unbuffered})

    assert warmed == cold


def test_an_interrupt_and_a_time_limit_reach_a_warm_program(tmp_path: Path):
    waiting = warm.Popen(
        [sys.executable, "-c", "print(1, flush=True); input()"], stdin=-1, stdout=-1, stderr=-1, text=True
    )
    read_line(waiting.stdout)

    waiting.send_signal(signal.SIGINT)

    assert "KeyboardInterrupt" in waiting.communicate(timeout=10)[1]
    assert waiting.returncode == -signal.SIGINT
    ended = tmp_path / "ended"
    code = f"import time; time.sleep(60); open({str(ended)!r}, 'w')"
    with pytest.raises(subprocess.TimeoutExpired):
        warm.run([sys.executable, "-c", code], timeout=0.2)
    assert not ended.exists()


def test_programs_that_cannot_start_warm_start_cold(tmp_path: Path):
    hashed = warm.run([sys.executable, "-c", "import sys; print(sys.flags.hash_randomization)"], capture_output=True,
                      env={"PYTHONHASHSEED": "0"}, text=True)  # fmt: skip
    shell = warm.run(["sh", "-c", "echo here"], capture_output=True, text=True)
    missing = {"LD_PRELOAD": str(tmp_path / "missing.so")}
    preloaded = warm.run([sys.executable, "-c", ""], env=missing, capture_output=True, text=True)

    assert (hashed.stdout, shell.stdout) == ("0\n", "here\n")
    assert "missing.so" in preloaded.stderr


SETTINGS = """
import json, logging, sys, django
django.setup()
from django.conf import settings
from django.db import connection
from orion_site.accounts.local_token import token_of_this_start
connection.ensure_connection()
names = [name for name in dir(settings) if name.isupper() and "SECRET" not in name]
print(json.dumps({
    "settings": {name: repr(getattr(settings, name)) for name in names},
    "file": connection.cursor().execute("PRAGMA database_list").fetchone()[2],
    "log": [logging.getLogger(name).level for name in ("", "django", "django.request", "psycopg.pool")],
    "handlers": len(logging.getLogger().handlers),
    "token": token_of_this_start(),
}, sort_keys=True))
"""


@pytest.mark.parametrize("module", ["orion_site.settings", "orion_site.settings_embedded"])
def test_a_warm_program_has_settings_a_database_and_a_token_of_its_own(module, tmp_path):
    def describe(run, number):
        env = environment(ready_home(tmp_path / str(number)), DJANGO_SETTINGS_MODULE=module, ORION_LOCAL_OWNER="token")
        done = run([sys.executable, "-c", SETTINGS], env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    # The first of them loads the stage.
    warmed = [describe(warm.run, 1), describe(warm.run, 2)]

    assert [one["file"] for one in warmed] == [str(tmp_path / number / "orion.db") for number in "12"]
    assert warmed[0]["token"] != warmed[1]["token"]
    assert {**warmed[1], "token": ""} == {**describe(subprocess.run, 2), "token": ""}


AGENT = """
import os, subprocess, sys
for _ in range(2):
    reads, writes = os.pipe()
    command = [sys.executable, "-P", "-m", "shown", str(writes)]
    given = {"LC_CTYPE": "C.UTF-8", "PYTHONPATH": os.environ["PYTHONPATH"]}
    launcher = subprocess.Popen(command, pass_fds=[writes], stdin=subprocess.DEVNULL, start_new_session=True, env=given)
    os.close(writes)
    said = os.read(reads, 10000).decode()
    print(launcher.wait(), f'"id": {launcher.pid}, "parent": {os.getpid()}, ' in said, said.partition("session")[2])
"""
LAUNCHER = """
import json, os, sys
print("heard", file=sys.stderr)
said = json.dumps({
    "id": os.getpid(), "parent": os.getppid(), "session": os.getsid(0) == os.getpid(), "stdin": sys.stdin.read(),
    "argv": sys.argv[2:], "path": sys.path[0], "folder": os.getcwd(), "environment": dict(os.environ),
    "files": len(os.listdir("/proc/self/fd")), "main": __name__,
})
os.write(int(sys.argv[1]), said.encode())
sys.exit(3)
"""


def test_the_first_launcher_of_an_agent_is_as_the_next_one_which_starts_cold(tmp_path: Path):
    (tmp_path / "shown.py").write_text(LAUNCHER)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)}

    agent = warm.AgentPopen([sys.executable, "-c", AGENT], env=env, cwd=tmp_path, stdout=-1, stderr=-1, text=True)
    describe, errors = agent.communicate(timeout=30)

    first, second = describe.splitlines()
    assert first == second
    assert first.startswith("3 True ")
    assert errors == "heard\n" * 2
