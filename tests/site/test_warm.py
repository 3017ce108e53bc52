"""Programs of the tests that start warm are what cold ones are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import warm

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
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_warm_program_ends_as_a_cold_one_ends(code, unbuffered):
    cold, warmed = both("-c", code, env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": unbuffered})

    assert warmed == cold


def test_an_interrupt_and_a_time_limit_reach_a_warm_program(tmp_path: Path):
    waiting = warm.Popen(
        [sys.executable, "-c", "print(1, flush=True); input()"], stdin=-1, stdout=-1, stderr=-1, text=True
    )
    assert waiting.stdout is not None
    waiting.stdout.readline()

    waiting.send_signal(signal.SIGINT)

    assert "KeyboardInterrupt" in waiting.communicate(timeout=10)[1]
    assert waiting.returncode == -signal.SIGINT
    ended = tmp_path / "ended"
    code = f"import time; time.sleep(60); open({str(ended)!r}, 'w')"
    with pytest.raises(subprocess.TimeoutExpired):
        warm.run([sys.executable, "-c", code], timeout=0.2)
    assert not ended.exists()


def test_what_cannot_be_warm_starts_cold(tmp_path: Path):
    hashed = warm.run([sys.executable, "-c", "import sys; print(sys.flags.hash_randomization)"], capture_output=True,
                      env={"PYTHONHASHSEED": "0"}, text=True)  # fmt: skip
    shell = warm.run(["sh", "-c", "echo here"], capture_output=True, text=True)

    assert (hashed.stdout, shell.stdout) == ("0\n", "here\n")
