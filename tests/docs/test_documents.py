"""The documents are true: their programs run, their links lead somewhere, their tables are complete."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests import warm
from tests.agents.running import eventually
from tests.docs import diagrams, generated
from tests.docs.blocks import blocks_of
from tests.docs.session import FOLLOWED, Session
from tests.homes import ready_home

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
CODE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
# A test as pages name it: `faults/test_wire`, or with its whole path.
TEST = re.compile(r"`(?:tests/)?((?:[a-z_]+/)+test_[a-z_0-9]+)(?:\.py[^`]*)?`")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
# Tests in a document are called, too.
CALL_TESTS = "\nfor _name, _test in list(globals().items()):\n    if _name.startswith('test_'):\n        _test()\n"
# Its program waits for a person.
APPROVAL = ROOT / "docs" / "howto" / "approval.md"


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def programs_of(page: Path) -> list[str]:
    """The programs that run by themselves; those of pages that are followed come after commands of the page."""
    typed = {block.text for block in blocks_of(page) if block.saved_as} if page in FOLLOWED else set[str]()
    return [text for text in CODE.findall(page.read_text()) if text not in typed]


@pytest.mark.programs
@pytest.mark.parametrize("page", [page for page in PAGES if programs_of(page) and page != APPROVAL], ids=named)
def test_programs_of_a_document_run(page: Path, tmp_path: Path) -> None:
    texts = programs_of(page)
    programs = [tmp_path / f"program_{number}.py" for number, _ in enumerate(texts)]
    for program, text in zip(programs, texts, strict=True):
        program.write_text(text + CALL_TESTS)

    ended = [run(program) for program in programs]

    assert [(code, output) for code, output in ended if code != 0] == []


@pytest.mark.programs
def test_the_flow_that_waits_for_a_person_continues_with_the_answer(tmp_path: Path) -> None:
    (text,) = programs_of(APPROVAL)
    (tmp_path / "purchase.py").write_text(text)
    session = Session(tmp_path, ready_home(tmp_path / "home"))
    try:
        session.type("python purchase.py >said 2>&1 &")
        eventually(lambda: "Paused" in session.type("orion flow-run ls state:paused")[0])

        answered = session.type("orion flow-run resume @last --input approved=true --input pieces=3")
        session.type("wait")
    finally:
        session.close()

    assert answered[1] == 0, answered
    assert "buying 3" in (tmp_path / "said").read_text()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_of_a_document_lead_somewhere(page: Path) -> None:
    links = LINK.findall(CODE.sub("", page.read_text()))

    broken = [link for link in links if not (page.parent / link).exists()]

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_tests_that_a_document_names_exist(page: Path) -> None:
    missing = [name for name in TEST.findall(page.read_text()) if not (ROOT / "tests" / f"{name}.py").exists()]

    assert missing == []


def test_every_setting_of_the_server_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text()
    documented = set(re.findall(r"^\| `(ORION_[A-Z_]+)`", page, re.MULTILINE))
    readers = re.compile(r'env_(?:str|int|bool|list)\(\s*"(ORION_[A-Z_]+)"')

    read = set().union(*(readers.findall(path.read_text()) for path in (ROOT / "orion_site").rglob("*.py")))

    assert read - {"ORION_TEST_SQLITE"} - documented == set()


@pytest.mark.parametrize("name", generated.PAGES)
def test_generated_pages_are_current(name: str) -> None:
    assert generated.path_of(name).read_text(encoding="utf-8") == generated.PAGES[name](), "run `make pages`"


@pytest.mark.parametrize("name", generated.PARTS)
def test_generated_tables_of_pages_are_current(name: str) -> None:
    page, part = generated.PARTS[name]

    assert generated.part_of(generated.path_of(page).read_text(encoding="utf-8"), name)[2] == part(), "run `make pages`"


@pytest.mark.parametrize("name", diagrams.DIAGRAMS)
def test_diagrams_are_those_of_their_text(name: str) -> None:
    stored = (diagrams.FOLDER / f"{name}.svg").read_text(encoding="utf-8")

    assert stored == diagrams.drawn(diagrams.DIAGRAMS[name]), "run `make pages`"


def run(program: Path) -> tuple[int, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORION_", "DJANGO_"))}
    ended = warm.run(
        [sys.executable, str(program)],
        env=kept | {"ORION_HOME": str(program.parent / "home")},
        cwd=program.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return ended.returncode, ended.stderr
