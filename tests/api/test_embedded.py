"""The API inside a user's process: no middleware, no sessions, no pages; the same answers, started quickly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.homes import ready_home

PROGRAM = """
import json, os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "orion_site.settings_embedded"
import django, django.db
django.setup()
from django.core.handlers.wsgi import WSGIHandler
from io import BytesIO

application = WSGIHandler()

def ask(method, path, body=None, accept="*/*"):
    content = b"" if body is None else json.dumps(body).encode()
    environ = {
        "REQUEST_METHOD": method, "PATH_INFO": "/api" + path, "SERVER_NAME": "ephemeral.orion", "SERVER_PORT": "80",
        "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(content)), "wsgi.input": BytesIO(content),
        "wsgi.url_scheme": "http", "HTTP_ACCEPT": accept,
    }
    told = []
    answer = application(environ, lambda status, headers: told.append((int(status[:3]), dict(headers))))
    content = b"".join(answer)
    answer.close()
    return told[0][0], told[0][1]["Content-Type"], json.loads(content or b"null")

flow = ask("POST", "/flows/", {"name": "census"})
run = ask("POST", "/flow_runs/", {"flow_id": flow[2]["id"]})
state = ask("POST", "/flow_runs/" + run[2]["id"] + "/set_state", {"state": {"type": "RUNNING"}})
before_lists = sorted(name for name in sys.modules if name in UNWANTED)
print(json.dumps({
    "flow": flow, "run": run, "state": state, "unwanted": before_lists,
    "page": ask("GET", "/flows/" + flow[2]["id"], accept="text/html"),
    "listed": ask("POST", "/flow_runs/filter", {}),
    "refused": ask("POST", "/flows/", {"name": "a/b"}),
    "missing": ask("GET", "/flow_runs/" + flow[2]["id"]),
    "unknown": ask("GET", "/nothing"),
    "why": ask("GET", "/flow_runs/" + run[2]["id"] + "/why"),
    "document": ask("GET", "/openapi.json")[2]["openapi"],
    "kilobytes": -django.db.connection.cursor().execute("PRAGMA cache_size").fetchone()[0],
}))
"""

# The cost that an in-process start must avoid.
UNWANTED = [
    "runs.lists.filters.searches",
    "orion_site.openapi.document",
    "django.contrib.admin",
    "django.contrib.postgres.fields",
    "pygments",
    "psycopg",
    "runs.pages",
    "jsonschema",
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Run a program that calls the API in its own process; return what it printed.

    It starts without preloaded modules, because it prints which ones were loaded.
    """
    home = ready_home(tmp_path_factory.mktemp("home"))
    environment = {**os.environ, "ORION_HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[2])}
    program = PROGRAM.replace("UNWANTED", repr(UNWANTED))
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b"", "Refusals belong into answers, not on the user's screen."
    return json.loads(done.stdout)


def test_runs_are_created_and_started(answers):
    assert [answers[one][0] for one in ("flow", "run", "state")] == [201, 201, 201]
    assert answers["state"][2]["status"] == "ACCEPT"


def test_a_browser_gets_json_as_this_process_has_no_pages(answers):
    assert answers["page"][:2] == [200, "application/json"]


def test_errors_are_the_same_as_everywhere(answers):
    assert answers["refused"][0] == 422
    assert answers["refused"][2]["exception_detail"][0]["loc"] == ["body", "name"]
    assert answers["missing"][::2] == [404, {"detail": "Flow run not found"}]
    assert answers["unknown"][::2] == [404, {"detail": "Not Found"}]


def test_lists_and_explanations_are_available_on_request(answers):
    assert len(answers["listed"][2]) == 1
    assert answers["why"][2]["moving"] is True
    assert answers["document"] == "3.1.0"


def test_a_running_flow_does_not_load_what_lookers_need(answers):
    assert answers["unwanted"] == []


def test_a_program_keeps_fewer_pages_of_its_file_in_memory_than_a_server(answers):
    assert answers["kilobytes"] == 8_000


OTHER_THREAD = """
import os, sys, threading
os.environ["DJANGO_SETTINGS_MODULE"] = "orion_site.settings_embedded"
import django
django.setup()

def meanwhile(event, args):
    # Imported by DRF among its optional dependencies.
    if event == "import" and args[0] == "uritemplate":
        thread = threading.Thread(target=lambda: __import__("requests"))
        thread.start()
        thread.join()

sys.addaudithook(meanwhile)
import orchestration.api
print("requests" in sys.modules)
"""


def test_other_threads_import_their_libraries_while_drf_is_loaded_without_them(tmp_path):
    environment = {**os.environ, "ORION_HOME": str(ready_home(tmp_path / "home"))}
    command = [sys.executable, "-c", OTHER_THREAD]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, text=True, check=False)

    assert done.stdout == "True\n", done.stderr
