"""An interpreter that stays: it runs one command line after the other, so that Django is loaded once and not for each.

A line of JSON comes in: the words, the stdin and the environment of a command. Exit code, stdout and stderr go out as
one JSON list a line.
"""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout

from orion_site.bootstrap import ephemeral_application
from orionflow.cli import main
from orionflow.settings import forget_settings


def serve() -> None:
    # Load the API first, as programs do, whichever command comes first: some commands load the whole server instead.
    ephemeral_application()
    requests, answers = sys.stdin, sys.stdout
    for line in requests:
        request = json.loads(line)
        os.environ.update(request["environment"])
        sys.stdin = io.StringIO(request["stdin"])
        print(json.dumps(run(request["words"])), file=answers, flush=True)
        for name in request["environment"]:
            del os.environ[name]


def run(words: list[str]) -> tuple[int, str, str]:
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    # Settings are read once in a process; a test may have written profiles in between.
    forget_settings()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(words)
    return int(code), _written(out), _written(err)


def _written(stream: io.TextIOWrapper) -> str:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


if __name__ == "__main__":
    serve()
