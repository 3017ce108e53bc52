"""Help is complete, quick to load, and true."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import distribution

import click
import pytest

from orionflow.cli.command import WithExamples
from orionflow.cli.root import root, server_group
from tests.cli.commands import SERVER_GROUPS, all_commands, all_groups, parse, words_of

COMMANDS = {" ".join(path): command for path, command in all_commands()}
GROUPS = {" ".join(path) or "orion": group for path, group in all_groups()}


def help_of(path: str, command: click.Command) -> str:
    return command.get_help(click.Context(command, info_name=f"orion {path}"))


@pytest.mark.parametrize("path", COMMANDS)
def test_help_of_every_command_shows_an_example(path):
    text = help_of(path, COMMANDS[path])

    assert "Examples:" in text
    assert "orion " in text.partition("Examples:")[2]


@pytest.mark.parametrize("path", GROUPS)
def test_help_of_every_group_shows_an_example(path):
    text = help_of(path, GROUPS[path])

    assert "Examples:" in text


@pytest.mark.parametrize("path", COMMANDS)
def test_every_example_is_understood_by_the_command_line(path):
    command = COMMANDS[path]
    assert isinstance(command, WithExamples)

    for line, _ in command.examples:
        words = words_of(line)

        assert parse(words), line


@pytest.mark.parametrize("path", GROUPS)
def test_lists_name_what_their_commands_do_without_importing_them(path):
    group = GROUPS[path]

    for name, entry in group.entries.items():
        assert entry.summary.endswith(".") or "…" in entry.summary, name
        assert len(entry.summary) < 60, name


def test_asking_for_help_loads_no_heavy_library():
    code = (
        "import sys, json, io, contextlib\n"
        "from orionflow.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()) as page:\n"
        "    code = main(['--help'])\n"
        "print(json.dumps([code, len(page.getvalue()), sorted(sys.modules)]))\n"
    )

    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    exit_code, length, modules = json.loads(answer.stdout)
    assert exit_code == 0
    assert length > 500
    heavy = {
        "pydantic",
        "requests",
        "django",
        "rich",
        "cloudpickle",
        "importlib.metadata",
        "asyncio",
        "orionflow.client",
    }
    assert heavy.isdisjoint(modules)
    assert [name for name in modules if name.startswith("orionflow.cli.flow_run")] == []


def test_help_of_a_topic_and_of_a_command_can_be_asked_with_the_word_help(orion_here):
    topic = orion_here("help", "exit-codes")
    command = orion_here("help", "flow-run", "ls")

    assert "130" in topic.out
    assert "Usage: orion flow-run ls" in command.out


def test_unknown_command_proposes_near_ones(orion_here):
    answer = orion_here("flw-run", "ls")

    assert answer.code == 2
    assert "did you mean orion flow-run" in answer.err
    assert answer.out == ""


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["why", "@last"], "did you mean orion flow-run why or orion task-run why?"),
        (["rerun", "@last"], "orion --help"),
        (["ls"], "orion --help"),
        (["retry", "@last"], "did you mean orion flow-run retry or orion problem retry?"),
    ],
)
def test_unknown_command_that_a_group_has_is_found_there(orion_here, typed, meant):
    answer = orion_here(*typed)

    assert answer.code == 2
    assert meant in answer.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["concurrency-limit", "create", "gpu", "x"], "'x' is not a whole number."),
        (["flow-run", "ls", "--limit", "x"], "'x' is not a whole number."),
        (["calendar", "create", "a", "--day", "2026-02-30"], "'2026-02-30' is not a day; write it as 2026-12-24."),
    ],
)
def test_a_value_of_the_wrong_type_is_explained_in_plain_words(orion_here, words, expected):
    answer = orion_here(*words)

    assert answer.code == 2
    assert expected in answer.err


def test_unknown_command_of_a_group_proposes_near_ones(orion_here):
    answer = orion_here("fr", "inspct", "@last")

    assert answer.code == 2
    assert "orion flow-run inspect" in answer.err


def test_unknown_option_and_choice_propose_near_ones(orion_here):
    option, choice = orion_here("fr", "ls", "--limt", "3"), orion_here("fr", "ls", "-o", "jsn")

    assert (option.code, choice.code) == (2, 2)
    assert "did you mean --limit?" in option.err
    assert "did you mean json" in choice.err


@pytest.mark.parametrize("path", [path for path, group in GROUPS.items() if "ls" in group.entries])
def test_every_list_is_found_under_its_long_name(path):
    group = GROUPS[path]

    assert group.get_command(click.Context(group), "list") is group.get_command(click.Context(group), "ls")


def test_shell_completion_knows_commands_without_loading_them():
    environment = {"_ORION_COMPLETE": "bash_complete", "COMP_WORDS": "orion fl", "COMP_CWORD": "1"}
    code = "import sys; from orionflow.cli import main; main([]); assert 'orionflow.cli.flow' not in sys.modules"

    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)

    assert answer.stdout.split() == ["plain,flow-run", "plain,flow"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_script_of_a_shell(orion_here, shell):
    answer = orion_here("completion", shell)

    assert answer.code == 0
    assert "_ORION_COMPLETE" in answer.out


# These do not print an API object, or run until they are stopped.
WITHOUT_FORMS = {
    "api", "completion", "help", "deployment schedule export", "services start", "services schedule", "agent start",
    "task-worker start",
}  # fmt: skip


def test_every_command_can_answer_in_json():
    silent = {path for path, one in COMMANDS.items() if not any("--output" in option.opts for option in one.params)}

    assert silent == WITHOUT_FORMS


def test_the_commands_of_the_server_can_answer_in_json():
    for name in SERVER_GROUPS:
        group = root.get_command(click.Context(root), name)
        assert isinstance(group, click.Group)
        assert all(any("--output" in option.opts for option in one.params) for one in group.commands.values()), name


def test_every_command_of_the_server_is_listed():
    provided = distribution("orionflow-server").entry_points.select(group="orionflow.commands")

    assert {one.name for one in provided} <= set(root.list_commands(click.Context(root)))


def test_commands_of_the_server_are_found_without_a_search_of_all_packages(monkeypatch: pytest.MonkeyPatch):
    def search(**asked: str) -> None:
        raise AssertionError(f"all packages are searched for {asked}")

    monkeypatch.setattr("importlib.metadata.entry_points", search)

    assert server_group("server").name == "server"
