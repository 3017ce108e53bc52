"""Programs of users pass both type checkers with the right types, and both find the errors of wrong ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FILES = [str(HERE / name) for name in ("program.py", "mistakes.py")]
WRONG = [
    number for number, line in enumerate((HERE / "mistakes.py").read_text().splitlines(), 1) if line.endswith("# wrong")
]

Found = dict[str, set[int]]


@pytest.fixture(scope="module")
def by_mypy(tmp_path_factory: pytest.TempPathFactory) -> Found:
    settings = tmp_path_factory.mktemp("mypy") / "mypy.ini"
    # What the command line prints with has no part in the types of programs, and is an eighth of what there is to read.
    without = "[mypy-rich.*]\nfollow_imports = skip\n"
    settings.write_text(f"[mypy]\nstrict = True\nwarn_unused_ignores = False\n{without}")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--config-file",
        str(settings),
        "--no-error-summary",
        "--hide-error-context",
    ]
    output = subprocess.run(
        [*command, "--no-incremental", "--output", "json", *FILES],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert not output.stderr, output.stderr
    errors = [json.loads(line) for line in output.stdout.splitlines()]
    return _by_file((one["file"], one["line"], one["severity"]) for one in errors)


@pytest.fixture(scope="module")
def by_pyright(tmp_path_factory: pytest.TempPathFactory) -> Found:
    pytest.importorskip("basedpyright")
    settings = tmp_path_factory.mktemp("pyright") / "pyrightconfig.json"
    settings.write_text(json.dumps({"typeCheckingMode": "standard", "include": FILES}))
    program = Path(sys.executable).with_name("basedpyright")
    output = subprocess.run(
        [program, "-p", settings, "--pythonpath", sys.executable, "--outputjson"],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    found: Any = json.loads(output.stdout)["generalDiagnostics"]
    return _by_file((one["file"], one["range"]["start"]["line"] + 1, one["severity"]) for one in found)


def _by_file(errors: Any) -> Found:
    found: Found = {"program.py": set(), "mistakes.py": set()}
    for file, line, severity in errors:
        if severity == "error" and (name := Path(file).name) in found:
            found[name].add(line)
    return found


@pytest.mark.parametrize("checker", ["by_mypy", "by_pyright"])
def test_programs_have_the_expected_types(checker: str, request: pytest.FixtureRequest):
    assert request.getfixturevalue(checker)["program.py"] == set()


@pytest.mark.parametrize("checker", ["by_mypy", "by_pyright"])
def test_mistakes_are_found(checker: str, request: pytest.FixtureRequest):
    assert sorted(request.getfixturevalue(checker)["mistakes.py"]) == WRONG
