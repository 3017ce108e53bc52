"""The pages of the reference that are written from the code: `make pages` renews them, and a test finds stale ones."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from string import Formatter
from typing import Any

from tests.docs import diagrams

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
NOTE = "> [!NOTE]\n> This page is written from the code. `make pages` renews it.\n"


def cell(text: object) -> str:
    """A text as a cell of a table: one line, no bar, no tag. Code keeps its signs."""
    flat = " ".join(str(text).split()).replace("|", "\\|")
    parts = re.split(r"(`[^`]*`)", flat)
    return "".join(one if one.startswith("`") else one.replace("<", "&lt;").replace("*", "\\*") for one in parts)


def table(head: tuple[str, ...], rows: Iterator[tuple[object, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(str(one) for one in line)} |" for line in lines) + "\n"


def states() -> str:
    from orionflow.contract.states import NAMES, TERMINAL

    parts = [
        "# States\n",
        "A state says where a run is. Rules use its *type*. Its *name* is for people, and may be your own.\n",
        NOTE,
    ]
    for kind, names in NAMES.items():
        ends = "Final: a run of this type has ended." if kind in TERMINAL else "Not final."
        rows = ((f"`{name}`", cell(one.meaning)) for name, one in names.items())
        parts += [f"## {kind.value}\n", f"{ends}\n", table(("name", "meaning"), rows)]
    return "\n".join(parts)


def errors() -> str:
    return "\n".join(
        [
            "# Errors\n",
            "Codes of the API, exit codes of commands, and exceptions of the SDK. Most messages say what to do.\n",
            NOTE,
            "## From the API\n",
            "The answer has a `code` for programs and a `detail` for people. Names in braces are replaced by values.\n",
            table(("code", "status", "when", "what it says"), _api_errors()),
            "## From the command line\n",
            "A command that fails prints what is wrong, why, and how to fix it, and exits with one of these codes.\n",
            table(("exit code", "name", "meaning"), _exit_codes()),
            "## In programs\n",
            "All exceptions are in `orionflow.errors` and derive from `OrionError`.\n",
            table(("exception", "kind of", "when it is raised"), _exceptions()),
        ]
    )


def _api_errors() -> Iterator[tuple[object, ...]]:
    # Whatever can be answered is loaded with the paths.
    import orion_site.urls
    from orchestration.api.errors import STATUS_OF
    from orchestration.errors import DomainError

    assert orion_site.urls

    def below(kind: type[DomainError]) -> Iterator[type[DomainError]]:
        yield kind
        for one in kind.__subclasses__():
            yield from below(one)

    kinds = {one.code: one for one in below(DomainError) if not one.__module__.startswith("tests")}
    for code, kind in sorted(kinds.items()):
        status = next((found for one, found in STATUS_OF.items() if issubclass(kind, one)), 422)
        if {"code", "message"} <= set(vars(kind)) and kind is not DomainError:
            yield f"`{code}`", status, cell(inspect.cleandoc(kind.__doc__ or "")), in_words(kind.message)


def in_words(message: str) -> str:
    """A message with the names of its places; of some errors all of it is the reason at hand."""
    if message == "{reason}":
        return "the reason"
    return "`" + " ".join(_plain(message).replace("`", "'").replace("|", "/").split()) + "`"


def _plain(message: str) -> str:
    """A format with the bare names of its places, and doubled braces as single ones."""
    return "".join(
        f"{text}{{{re.split(r'[^0-9A-Za-z_]', name)[0]}}}" if name is not None else text
        for text, name, _, _ in Formatter().parse(message)
    )


def _exit_codes() -> Iterator[tuple[object, ...]]:
    from orionflow.cli.errors import MEANINGS

    for code, meaning in MEANINGS.items():
        yield int(code), f"`{code.name}`", cell(meaning)


def _exceptions() -> Iterator[tuple[object, ...]]:
    from orionflow import errors

    for name, kind in vars(errors).items():
        if inspect.isclass(kind) and issubclass(kind, Exception) and kind.__module__ == errors.__name__:
            yield f"`{name}`", f"`{kind.__base__.__name__}`", cell(inspect.cleandoc(kind.__doc__ or ""))


def commands() -> str:
    import click

    from orionflow.cli.root import root

    parts = [
        "# Commands\n",
        "Every command of `orion` with its options and examples. [The command line](cli.md) explains what they\n"
        "share.\n\n`list` is another word for every `ls`, `show` for `inspect`, and `rm` for `delete`.\n",
        NOTE,
    ]

    index: list[tuple[object, ...]] = []

    def walk(command: click.Command, path: str, context: click.Context | None, names: tuple[str, str]) -> None:
        here = click.Context(command, info_name=path.split()[-1], parent=context)
        if isinstance(command, click.Group):
            for name in command.list_commands(here):
                if inner := command.get_command(here, name):
                    walk(inner, f"{path} {name}", here, _listed(command, name, inner))
            return
        summary, aliases = names
        index.append((f"[`{path}`](#{path.replace(' ', '-')}){aliases}", cell(summary)))
        parts.append(_command(command, path, here))

    walk(root, "orion", None, ("", ""))
    parts.insert(3, table(("command", "what it does"), iter(index)))
    return "\n".join(parts)


def _listed(group: Any, name: str, command: Any) -> tuple[str, str]:
    """The sentence by which a group lists a command, and its other names but the usual ones."""
    from orionflow.cli.lazy import USUAL_ALIASES

    entry = getattr(group, "entries", {}).get(name)
    if entry is None:
        return command.get_short_help_str(200), ""
    aliases = [f"`{one}`" for one in entry.aliases if one not in USUAL_ALIASES.get(name, ())]
    return entry.summary, f" ({', '.join(aliases)})" if aliases else ""


# Options that every command has.
SHARED = ("--debug", "--quiet", "--verbose", "--no-color", "--help")


def _command(command: Any, path: str, context: Any) -> str:
    arguments = [one.make_metavar(context) for one in command.params if one.param_type_name == "argument"]
    usage = " ".join([path, "[OPTIONS]", *arguments])
    text = re.sub(r"\x08\n?", "", inspect.cleandoc(command.help or ""))
    # Commands of the server have their examples in their texts.
    in_text = [(line, "") for line in re.findall(r"^Example: (.*)$", text, re.MULTILINE)]
    text = re.sub(r"^Example: .*\n?", "", text, flags=re.MULTILINE).strip()
    text = "\n\n".join(cell(one).replace("\\|", "|") for one in text.split("\n\n"))
    parts = [f"## {path}\n", f"{text}\n", f"```text\n{usage}\n```\n"]
    rows = [
        record
        for one in command.params
        if not set(SHARED) & set(one.opts) and (record := one.get_help_record(context)) is not None
    ]
    if rows:
        parts.append(table(("option", "meaning"), ((f"`{a.replace('|', ' or ')}`", cell(b)) for a, b in rows)))
    if examples := [*getattr(command, "examples", ()), *in_text]:
        lines = [f"$ {line}{f'  # {note}' if note else ''}" for line, note in examples]
        parts.append("```console\n" + "\n".join(lines) + "\n```\n")
    return "\n".join(parts)


def rest() -> str:
    from orion_site.openapi.document import openapi

    parts = [
        "# REST API\n",
        "Every operation below `/api`, by subject, with the right that it needs. [The API](api.md) explains filters,\n"
        "batches and errors. A server shows fields and types at `/docs`; the document is `/api/openapi.json`.\n",
        NOTE,
    ]
    by_tag: dict[str, list[tuple[object, ...]]] = {}
    for path, methods in openapi()["paths"].items():
        for method, one in methods.items():
            row = (f"`{method.upper()} {path}`", cell(one["description"].split("\n\n")[0]), f"`{one['x-permission']}`")
            by_tag.setdefault(one["tags"][0], []).append(row)
    for tag, rows in sorted(by_tag.items()):
        title = tag.replace("_", " ").replace("-", " ").capitalize() or "Root"
        parts += [f"## {title}\n", table(("operation", "what it does", "right"), iter(rows))]
    return "\n".join(parts)


def recorded_events() -> str:
    from events.recording.catalogue import RECORDED

    parts = [
        "# Recorded events\n",
        "The events that Orion records itself, by what they are about. Automations wait for them by name, and their\n"
        "texts use the rest: `{{ event.payload.due }}`, `{{ event.resource['prefect.state-name'] }}`.\n"
        "[Events and automations](events.md) says how; programs may report events of their own beside these.\n",
        NOTE,
    ]
    for one in RECORDED:
        rows = ((f"`{one.prefix}{end}`", cell(moment)) for end, moment in one.events.items())
        parts += [
            f"## {one.title}\n",
            *([f"{one.note}\n"] if one.note else []),
            table(("event", "when"), rows),
            table(("it has", ""), _carried(one)),
        ]
    return "\n".join(parts)


def _carried(one: Any) -> Iterator[tuple[object, ...]]:
    def listed(names: Iterable[str], at_times: Iterable[str] = ()) -> str:
        words = [*(f"`{name}`" for name in names), *(f"`{name}` (in some cases)" for name in at_times)]
        return ", ".join(words) or "none"

    yield "resource", f"`{one.resource}.<id>`"
    yield "its labels", listed(one.labels, one.at_times)
    always = [role for role in one.related if not role.startswith("(")]
    yield "related, by role", listed(always, [role.strip("()") for role in one.related if role.startswith("(")])
    yield "payload", listed(one.payload, one.payload_at_times)


def rules() -> str:
    from orchestration.core.document import document

    return document()


def settings() -> str:
    """Ask programs of their own, since this one may have settings that differ."""
    with tempfile.TemporaryDirectory() as home:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORION_", "DJANGO_"))}
        asked = [sys.executable, "-W", "ignore", "-m", "orion_site.server_settings.document"]
        options: dict[str, Any] = {"capture_output": True, "text": True, "check": True, "cwd": ROOT}
        server = subprocess.run(asked, env=kept | {"ORION_HOME": home}, **options)
        sdk = subprocess.run([sys.executable, "-m", "orionflow.settings"], env=kept, **options)
    return sdk.stdout + "\n" + server.stdout


PAGES: Mapping[str, Callable[[], str]] = {
    "commands": commands,
    "errors": errors,
    "recorded-events": recorded_events,
    "rest": rest,
    "rules": rules,
    "settings": settings,
    "states": states,
}


def services() -> str:
    """Name the setting of an interval that follows one, since the settings of this program may differ."""
    from orion_site.services.registry import services_of_an_api, services_of_this_server

    intervals = {
        "reconciliation": "`ORION_RECONCILE_SECONDS` (5 s)",
        "hearing": "`ORION_RECONCILE_SECONDS` (5 s), or less",
    }
    rows = (
        (
            one.name,
            intervals.get(one.name) or ("1 h" if one.every == 3600 else f"{one.every:g} s"),
            cell(one.description),
        )
        for one in [*services_of_this_server(), *services_of_an_api()]
    )
    return table(("service", "every", "what it does"), rows)


# Tables in pages written by hand, between comments such as `<!-- services: from the code -->` and `<!-- end -->`.
PARTS: Mapping[str, tuple[str, Callable[[], str]]] = {"services": ("services", services)}


def part_of(text: str, name: str) -> re.Match[str]:
    """The part of a page between its comments; the table is the second group."""
    found = re.search(rf"(<!-- {name}: from the code -->\n)(.*?)(<!-- end -->)", text, re.DOTALL)
    assert found, f"no part {name}"
    return found


def path_of(name: str) -> Path:
    return REFERENCE / f"{name}.md"


def main() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orion_site.settings")
    django.setup()
    for name, page in PAGES.items():
        path_of(name).write_text(page(), encoding="utf-8")
    for name, (page_name, part) in PARTS.items():
        path = path_of(page_name)
        text = path.read_text(encoding="utf-8")
        found = part_of(text, name)
        path.write_text(text[: found.start(2)] + part() + text[found.end(2) :], encoding="utf-8")
    diagrams.main()


if __name__ == "__main__":
    main()
