"""Every block of the documents is run, or read by the program that it is for."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from tests.cli.commands import parse
from tests.docs.blocks import PAGES, Block, blocks_of, commands_of, every_block, without_comment
from tests.docs.session import FOLLOWED, Session, follow, matches
from tests.homes import ready_home

# Programs that a reader has, or gets from the system; whatever else is called must be one of Orion's.
OF_THE_SYSTEM = {
    "cat", "cd", "celery", "code", "cp", "createdb", "createuser", "crontab", "curl",
    "docker", "echo", "eval", "export", "git", "grep", "head", "install", "jq",
    "kill", "kubectl", "ls", "make", "mkdir", "mv", "nginx", "node", "openssl",
    "pg_basebackup", "pg_dump", "pg_restore", "pip", "prefect", "printf", "psql", "python", "python3",
    "redis-cli", "restic", "rm", "rsync", "sed", "sleep", "source", "sqlite3", "sudo",
    "systemctl", "tail", "tar", "test", "time", "touch", "umask", "unset",
}  # fmt: skip
# They have other tests: programs run, sessions are followed, the rest is for the eye.
ELSEWHERE = {"python", "console", "sh", "bash", "text", "html", "css", "js", "mjs", "sql", "http", "django"}
# The examples of commands.md are those of the commands, which tests/cli reads.
CONSOLES = [block for block in every_block("console", "sh", "bash") if block.page.name != "commands.md"]


def read_ini(text: str) -> None:
    """Read units of systemd, and files such as postgresql.conf that have no sections."""
    configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True).read_string(f"[top]\n{text}")


def read_nginx(text: str) -> None:
    """Ask nginx itself where it is installed; certificates and files of names are not here."""
    if not (nginx := shutil.which("nginx")):
        return
    text = re.sub(r"^\s*(ssl_certificate\w*|include) .*;$", "", text, flags=re.MULTILINE).replace(" ssl;", ";")
    is_server = re.search(r"^\s*(server|upstream|map) ", text, re.MULTILINE)
    whole = f"events {{}}\nhttp {{ {text if is_server else f'server {{ {text} }}'} }}\n"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "nginx.conf")
        file.write_text(f"pid {folder}/pid; error_log stderr;\n{whole}")
        asked = [nginx, "-t", "-q", "-p", folder, "-c", str(file)]
        ended = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert "[emerg]" not in ended.stderr or "bind()" in ended.stderr, ended.stderr


def read_yaml(text: str) -> None:
    list(yaml.safe_load_all(text))


READERS: Mapping[str, Callable[[str], object]] = {
    "toml": tomllib.loads,
    "yaml": read_yaml,
    "json": json.loads,
    "ini": read_ini,
    "nginx": read_nginx,
}


def named(block: Block) -> str:
    return block.name


@pytest.mark.parametrize("block", every_block(*READERS), ids=named)
def test_configuration_can_be_read(block: Block) -> None:
    READERS[block.language](block.text.replace("…", "x"))


def test_every_block_names_its_language() -> None:
    languages = {*READERS, *ELSEWHERE}

    every = [block for page in PAGES for block in blocks_of(page)]
    unnamed = [f"{block.name} {block.language}" for block in every if block.language not in languages]

    assert unnamed == []


@pytest.mark.parametrize("block", CONSOLES, ids=named)
def test_commands_and_their_options_exist(block: Block) -> None:
    for command in commands_of(block):
        for words in simple_commands(command.typed):
            if words[0] == "orion":
                assert parse(words[1:]), command.typed
            elif not words[0].startswith((".", "/", "~")):
                assert words[0] in OF_THE_SYSTEM, command.typed


def simple_commands(typed: str) -> list[list[str]]:
    """The commands of a line, without assignments before them and what the shell does with their output."""
    typed = re.sub(r"\$\([^)]*\)", "value", typed)
    lines = [without_comment(line) for line in typed.replace("\\\n", " ").splitlines()]
    lexer = shlex.shlex("\n".join(lines), posix=True, punctuation_chars="|&;<>\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    found: list[list[str]] = [[]]
    is_file = False
    for word in lexer:
        if set(word) <= set("|&;\n"):
            found.append([])
        elif set(word) <= set("<>"):
            is_file = True
        elif is_file:
            is_file = False
        elif found[-1] or not re.match(r"[A-Za-z_]+=", word):
            found[-1].append(word)
    return [one for one in found if one]


@pytest.mark.programs
@pytest.mark.parametrize("page", FOLLOWED, ids=lambda page: page.stem)
def test_a_page_that_is_followed_does_what_it_shows(page: Path, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    # The tutorial begins with a first start, which makes the database and says so.
    home = tmp_path / "home" if page.stem == "tutorial" else ready_home(tmp_path / "home")
    session = Session(folder, home)
    try:
        differing = list(follow(page, session))
    finally:
        session.close()

    assert not differing, "\n\n".join(differing)


@pytest.mark.parametrize(
    ("shown", "printed", "fits"),
    [
        ("11:08 done in 1.1s", "09:00  done   in 34ms", True),
        ("run amber-ibex of price-tag", "run clever-otter of price-tag", True),
        ("run amber-ibex of price-tag", "run clever-otter of price-list", False),
        ("a\n…\nd", "a\nb\nc\nd", True),
        ("800", "900", False),
    ],
)
def test_outputs_are_compared_but_for_what_is_never_the_same(shown: str, printed: str, fits: bool) -> None:
    assert matches(shown, printed) is fits
