"""Rules for the server's own source that no linter has: read as syntax trees, so that a comment is no finding.

Each rule names the few places where it is meant, and is shown a probe that it must find.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.homes import APPS, ROOT

Finds = Callable[[ast.AST], bool]


@dataclass(frozen=True)
class Rule:
    """`allowed` are ends of files with why it is meant there."""

    name: str
    finds: Finds
    probe: str
    allowed: dict[str, str] = field(default_factory=dict)


def name_of(node: ast.AST) -> str:
    """`a.b.c` of a name or an attribute; a call's is that of what it calls."""
    match node:
        case ast.Call(func=called):
            return name_of(called)
        case ast.Attribute(value=inner, attr=attr):
            return f"{name_of(inner)}.{attr}"
        case ast.Name(id=name):
            return name
    return ""


def calls(*names: str) -> Finds:
    ends = tuple(f".{one}" for one in names)
    return lambda node: isinstance(node, ast.Call) and f".{name_of(node)}".endswith(ends)


def first(node: ast.AST) -> ast.AST | None:
    return node.args[0] if isinstance(node, ast.Call) and node.args else None


def is_constant(node: ast.AST | None) -> bool:
    """A text of the source, also in pieces; a capital name is a constant of the module."""
    match node:
        case ast.Constant():
            return True
        case ast.Name(id=name):
            return name.lstrip("_").isupper()
        case ast.BinOp(left=left, right=right):
            return is_constant(left) and is_constant(right)
    return False


def has_keyword(node: ast.AST, name: str, value: object) -> bool:
    return isinstance(node, ast.Call) and any(
        one.arg == name and isinstance(one.value, ast.Constant) and one.value.value == value for one in node.keywords
    )


def imports(*modules: str) -> Finds:
    def finds(node: ast.AST) -> bool:
        match node:
            case ast.Import(names=names):
                return any(one.name.split(".")[0] in modules for one in names)
            case ast.ImportFrom(module=module):
                return (module or "").split(".")[0] in modules
        return False

    return finds


def takes_users_keys(node: ast.AST) -> bool:
    """`filter(**body)`: names of columns and lookups would come from the request."""
    if not calls("filter", "exclude", "get", "order_by", "update")(node):
        return False
    assert isinstance(node, ast.Call)
    spread = [one.value for one in node.keywords if one.arg is None]
    return any(re.search(r"request|body|query|data|params|POST|GET", ast.unparse(one)) for one in spread)


def asks_its_own_clock(node: ast.AST) -> bool:
    match node:
        case ast.ImportFrom(module="django.utils.timezone", names=names):
            return any(one.name == "now" for one in names)
    return calls("timezone.now", "datetime.now", "datetime.utcnow")(node)


RULES = [
    Rule(
        "executes texts",
        lambda node: isinstance(node, ast.Call) and name_of(node) in {"eval", "exec", "compile", "__import__"},
        "eval(text)",
    ),
    Rule(
        "unpickles",
        imports("pickle", "cloudpickle", "dill", "marshal", "shelve", "jsonpickle", "joblib"),
        "import pickle",
    ),
    Rule("reads YAML into objects", calls("yaml.load", "yaml.unsafe_load", "yaml.full_load"), "yaml.load(text)"),
    Rule(
        "calls a shell",
        lambda node: has_keyword(node, "shell", True) or calls("os.system", "os.popen")(node),
        "run(x, shell=True)",
    ),
    Rule(
        "does not look at certificates",
        lambda node: has_keyword(node, "verify", False) or calls("_create_unverified_context")(node),
        "get(url, verify=False)",
    ),
    Rule(
        "calls text safe",
        calls("mark_safe", "SafeString", "SafeText"),
        "mark_safe(text)",
        {
            "runs/pages/markdown.py": "what the reader made, which writes no HTML of others",
            "runs/pages/graph.py": "the drawing of our own template",
            "orion_site/help/rendering.py": "our own pages, by a reader that writes no HTML of theirs",
        },
    ),
    Rule(
        "has HTML that is no constant",
        lambda node: calls("format_html")(node) and not is_constant(first(node)),
        "format_html(text)",
    ),
    Rule(
        "renders a template that is not a file",
        lambda node: calls("Template", "from_string")(node) and not is_constant(first(node)),
        "Template(text)",
        {"events/automations/core/jinja.py": "texts of automations, in the sandbox and within bounds"},
    ),
    Rule("filters by names from a request", takes_users_keys, "rows.filter(**request.GET)"),
    Rule("has SQL of the ORM by hand", calls("extra"), "rows.extra(where=[text])"),
    Rule(
        "takes off the check of forms",
        lambda node: isinstance(node, ast.Name) and node.id == "csrf_exempt",
        "csrf_exempt(view)",
        {
            "orion_site/system_api.py": "says whether the server is alive",
            "orchestration/api/operations.py": "for programs, whose origin the guard looks at",
        },
    ),
    Rule(
        "imports what a text names",
        lambda node: calls("import_string", "import_module")(node) and not is_constant(first(node)),
        "import_string(text)",
        {
            "orchestration/announce.py": "listeners that the settings name",
            "deployments/dispatch/hint_sender.py": "the transport that the settings name",
            "orion_site/accounts/sessions.py": "the engine of sessions that the settings name",
            "orchestration/api/operations.py": "operations of the source, when they are first asked for",
            "orion_site/help/python_names.py": "names that our own pages describe",
            "deployments/archive/place.py": "modules of an extra, which its callers name",
        },
    ),
    Rule(
        "opens addresses beside the guard",
        imports("requests", "httpx", "urllib3", "aiohttp"),
        "import requests",
        {"events/notifications/services/sending.py": "the guard itself"},
    ),
    Rule(
        "draws secrets from a weak source",
        calls("random.choice", "random.choices", "random.getrandbits", "random.randbytes"),
        "random.choice(letters)",
        {"runs/naming.py": "names of runs"},
    ),
    Rule(
        "hashes weakly",
        calls("hashlib.md5", "hashlib.sha1", "md5", "sha1"),
        "hashlib.md5(text)",
        {"runs/pages/selectors/failures.py": "tells errors apart, and protects nothing"},
    ),
    Rule("makes a file by a name that others may take", calls("mktemp"), "tempfile.mktemp()"),
    # What is stored, or compared with what is stored, is dated by `orchestration.database_clock`.
    Rule(
        "asks its own clock",
        asks_its_own_clock,
        "timezone.now()",
        {
            "orchestration/database_clock.py": "on SQLite, where it is the clock of the database",
            "runs/templatetags/times.py": "how long ago, on pages",
            "deployments/schedules/api/schemas.py": "whether a schedule has times at all, while a body is read",
            "deployments/upkeep/services/partitions.py": "how long it takes",
            "orion_site/services/ticker.py": "corrected by the difference of the clocks",
            "orion_site/http/running_servers.py": "a file on this machine",
            "orion_site/live/hub.py": "moments of this process, also on the event loop",
            "orion_site/live/following.py": "on SQLite only",
            # Keys are judged in memory, also on the event loop, and by days; sessions by Django.
            "orion_site/accounts/keys.py": "whether a key has expired",
            "orion_site/accounts/models.py": "whether a key has expired",
            "orion_site/accounts/cli/keys.py": "when a key expires",
            "orion_site/accounts/pages/keys.py": "when a key expires",
            "orion_site/accounts/sessions.py": "whether a session of Django has expired",
        },
    ),
]


def trees() -> Iterator[tuple[str, ast.AST]]:
    for app in APPS:
        for file in sorted(Path(ROOT, app).rglob("*.py")):
            yield file.relative_to(ROOT).as_posix(), ast.parse(file.read_text())


# What rules look at: one node in three.
KINDS = (ast.Call, ast.Import, ast.ImportFrom, ast.Name)


def looked_at(tree: ast.AST) -> Iterator[ast.AST]:
    return (node for node in ast.walk(tree) if isinstance(node, KINDS))


@pytest.fixture(scope="module")
def source() -> list[tuple[str, ast.AST]]:
    return [(name, node) for name, tree in trees() for node in looked_at(tree)]


@pytest.mark.parametrize("rule", RULES, ids=[rule.name for rule in RULES])
def test_the_server(source: list[tuple[str, ast.AST]], rule: Rule):
    found = {f"{name}:{getattr(node, 'lineno', 0)}" for name, node in source if rule.finds(node)}

    assert {one for one in found if one.rpartition(":")[0] not in rule.allowed} == set()


@pytest.mark.parametrize("rule", RULES, ids=[rule.name for rule in RULES])
def test_a_rule_finds_its_probe(rule: Rule):
    assert any(rule.finds(node) for node in looked_at(ast.parse(rule.probe)))


@pytest.mark.parametrize(
    ("what", "pattern", "allowed"),
    [
        ("text that is not escaped", r"\|\s*safe\b|autoescape\s+off|\|\s*safeseq\b", set[str]()),
        ("a script of its own", r"<script(?![^>]*\ssrc=)", set[str]()),
        # Saved as files, they are no pages.
        (
            "a style of its own",
            r"<style|\sstyle=",
            {"templates/runs/_graph_file.html", "templates/runs/export/run.html"},
        ),
        ("an event in an attribute", r"\son(click|load|error|submit|change|input|focus|mouse\w+)\s*=", set[str]()),
        ("a page of others in a frame", r"<(iframe|object|embed|base)\b", set[str]()),
        ("a form that is sent without a token", r"(?s)<form[^>]*method=\"post\"(?!.*?csrf_token)", set[str]()),
        ("what others host", r"(src|href)=\"(https?:)?//", set[str]()),
    ],
)
def test_no_template_has(what: str, pattern: str, allowed: set[str]):
    found = {
        file.relative_to(ROOT).as_posix()
        for folder in ("templates", "orion_site")
        for file in Path(ROOT, folder).rglob("*.html")
        if re.search(pattern, file.read_text())
    }

    assert found - allowed == set(), what


INCLUDE = re.compile(r'\{%\s*include\s+"([^"]+)"(.*?)%\}', re.DOTALL)


def without_token(texts: dict[str, str]) -> set[str]:
    """Includes with `only` that keep the token from a form, there or in what is included there, as "by includes"."""
    needs = {name for name, text in texts.items() if "csrf_token" in text}
    included = [(by, *found) for by, text in texts.items() for found in INCLUDE.findall(text)]
    while more := {by for by, name, _ in included if name in needs} - needs:
        needs |= more
    return {
        f"{by} includes {name}"
        for by, name, rest in included
        if name in needs and re.search(r"\bonly\s*$", rest) and "csrf_token=csrf_token" not in rest
    }


def test_every_form_in_a_template_gets_its_token():
    folder = Path(ROOT, "templates")
    texts = {file.relative_to(folder).as_posix(): file.read_text() for file in folder.rglob("*.html")}

    probe = {"page": '{% include "part" with a=b only %}', "part": '{% include "form" %}', "form": "{% csrf_token %}"}

    assert without_token(probe) == {"page includes part"}
    assert without_token(texts) == set()
