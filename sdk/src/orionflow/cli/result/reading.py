"""`orion result get`: the value that a run returned. A pickle is only opened if the user asks for that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orionflow.cli.backend import Backend, Json
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.lookup import find_flow_run, find_task_run
from orionflow.cli.safe_text import as_json
from orionflow.cli.session import Session, command


@command(
    ("orion result get @last", "what the newest flow run returned"),
    ("orion result get brave-otter/extract-0", "what one of its tasks returned"),
    ("orion result get @last --unpickle", "also if that runs code of its author"),
    ("orion result get @last --out result.json", "the bytes as they are stored, without the seal"),
)
@click.argument("run", metavar="RUN")
@click.option("--task", is_flag=True, help="RUN is a task run; a name with a slash always is.")
@click.option("--unpickle", is_flag=True, help="Read pickles, too. This runs code that they contain.")
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="Write the stored bytes to this file.")
def get(session: Session, run: str, task: bool, unpickle: bool, out: Path | None) -> None:
    """Print the result of a run as JSON, or write its bytes to a file.

    Seals are checked first. A pickle is printed only with --unpickle, because reading it runs code that it contains.
    """
    data = _data_of(session.api, run, task="/" in run or task)
    if data["type"] != "reference":
        _print(session, data.get("value"))
        return
    from orionflow.results import stored_bytes
    from orionflow.serializers import needs_seal, serializer_of

    serializer = serializer_of(data.get("serializer_type"))
    if needs_seal(serializer) and not unpickle and out is None:
        raise CommandFailed(
            ExitCode.USAGE, f"The result of {run} is stored as {serializer.type}, and reading that runs code.",
            "its seal says that a holder of your key wrote it", "add --unpickle, or --out FILE for the bytes",
        )  # fmt: skip
    content = stored_bytes(data)
    if out is not None:
        out.write_bytes(content)
        session.note(f"Wrote {len(content)} bytes ({serializer.type}) to {out}.")
        return
    _print(session, serializer.loads(content))


def _data_of(api: Backend, run: str, *, task: bool) -> Json:
    found = find_task_run(api, run) if task else find_flow_run(api, run)
    state = found.get("state") or {}
    data = state.get("data")
    if isinstance(data, dict) and data.get("type") in ("reference", "literal"):
        return data
    if data is None or (isinstance(data, dict) and data.get("type") == "unpersisted"):
        raise CommandFailed(
            ExitCode.NOT_FOUND, f"{found['name']} ({state.get('name') or 'without a state'}) has no stored result.",
            fix="persist_result=True on its flow or task stores it",
        )  # fmt: skip
    return {"type": "literal", "value": data}


def _print(session: Session, value: Any) -> None:
    try:
        text = as_json(value, indent=2)
    except (TypeError, ValueError):
        text = repr(value)
    session.terminal.out(text)
