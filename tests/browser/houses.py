"""Servers that have a row of each kind, so that every page has something to show."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.urls import reverse
from playwright.sync_api import BrowserContext

from tests import warm
from tests.homes import ROOT, ready_home
from tests.site.running import RunningServer, environment, running_server, serving

FURNISH = """
import sys, json, django
django.setup()
from tests.browser.houses import addresses
from tests.web.furnished import EVIL, furnished
print(json.dumps(addresses(furnished(EVIL if sys.argv[1] == "evil" else "nightly load"))))
"""
# Pages that belong to no app of the dashboard, with the ids or words in their addresses.
OTHERS: dict[str, list[str]] = {
    "search": [],
    "help": [],
    "help-page": ["howto/on-a-server"],
    "audit": [],
    "sign-in": [],
    "settings": [],
    "change-setting": ["ORION_LATE_AFTER_SECONDS"],
    "keys": [],
    "users": [],
    "new-user": [],
    "user": ["user_id"],
    "groups": [],
    "new-group": [],
    "group": ["group_id"],
}
# Further views of a page, besides the one that it opens with.
MORE = {
    "runs:run": [
        f"?tab={tab}"
        for tab in (
            "tasks",
            "logs",
            "history",
            "parameters",
            "results",
            "subflows",
            "artifacts",
            "graph",
            "graph&view=radar",
            "graph&view=table",
            "time",
        )
    ],
    "runs:task-run": ["?tab=history", "?tab=inputs", "?tab=result", "?tab=artifacts"],
    "deployments:deployment": [
        f"?tab={tab}"
        for tab in ("runs", "runs&show=late", "upcoming", "upcoming&within=24h", "schedules", "parameters", "versions")
    ],
    "deployments:schedule": ["?view=month"],
    "deployments:new-schedule": ["?kind=interval", "?kind=rrule", "?kind=ics"],
    "deployments:run-with": ["?as=json"],
    "events:new-automation": [
        "?when=state&do=send-notification",
        "?when=event&do=pause-work-queue",
        "?when=json&do=json",
    ],
    "search": ["?q=load"],
    "deployments:archive": ["?q=nothing-of-this-name", "?since=yesterday"],
    "audit": ["?who=nobody"],
    "help": ["?q=postgresql", "?q=nothingofthisname"],
}
FRAMEWORKS = ["/api/", "/api/flows/", "/admin/", "/admin/runs/flow/", "/admin/runs/flowrun/", "/docs", "/redoc"]
# The pages that represent the others in a brief round.
FEW = ("home", "runs:runs", "runs:run", "deployments:deployment", "deployments:new-schedule", "settings")


@dataclass(frozen=True)
class House:
    """Where the server is, and the paths of its pages by name."""

    address: str
    pages: dict[str, str]

    @property
    def named(self) -> dict[str, str]:
        """Every page, each with what else it shows, and the pages of the frameworks below."""
        more = {name + query: self.pages[name] + query for name, queries in MORE.items() for query in queries}
        flow = self.pages["runs:flow"].rsplit("/", 1)[1]
        return self.pages | more | {path: path for path in (*FRAMEWORKS, f"/api/flows/{flow}")}

    @property
    def everywhere(self) -> list[str]:
        return list(self.named.values())

    def paths(self, walk: str) -> list[str]:
        return self.everywhere if walk == "every page" else [self.pages[name] for name in FEW]


def addresses(house: dict[str, Any]) -> dict[str, str]:
    """The paths of all pages, by name, for the rows of a furnished house."""
    from tests.web import test_hostile_pages as pages

    found = {name: pages.address_of(*one, house).path for name, one in zip(pages.IDS, pages.PATTERNS, strict=True)}
    found["runs:paused-run"] = reverse("runs:run", args=[house["paused_run_id"]])
    return found | {
        name: reverse(name, args=[house.get(word, word) for word in words]) for name, words in OTHERS.items()
    }


@contextmanager
def furnished_server(home: Path, text: str, **more: str) -> Iterator[House]:
    """`text`: every text is markup where it is `evil`, and a few words where it is `plain`."""
    more |= {"ORION_ARCHIVE_PATH": str(home / "archive")}
    with running_server(home, **more) as server:
        made = warm.run(
            [sys.executable, "-c", FURNISH, text],
            env=environment(home, DJANGO_SETTINGS_MODULE="orion_site.settings", **more),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        yield House(f"http://127.0.0.1:{server.port}", json.loads(made.stdout.splitlines()[-1]))


@contextmanager
def overfull_server(home: Path) -> Iterator[RunningServer]:
    """More of everything than fits, on a server that neither ticks nor runs anything."""
    ready_home(home)
    archive = {"ORION_ARCHIVE_PATH": str(home / "archive")}
    warm.run(
        [
            sys.executable,
            "-c",
            "import django; django.setup(); from tests.browser.sample.overfull import write; write()",
        ],
        env=environment(home, DJANGO_SETTINGS_MODULE="orion_site.settings", **archive),
        cwd=ROOT,
        check=True,
    )
    with running_server(home, "--no-services", **archive) as server:
        yield server


@contextmanager
def planned_server(home: Path) -> Iterator[House]:
    """Few runs that matter among many planned ones, on a server that neither ticks nor runs anything."""
    ready_home(home)
    made = warm.run(
        [
            sys.executable,
            "-c",
            "import django; django.setup(); from tests.browser.sample.planned import write; write()",
        ],
        env=environment(home, DJANGO_SETTINGS_MODULE="orion_site.settings"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    with running_server(home, "--no-services") as server:
        yield House(f"http://127.0.0.1:{server.port}", json.loads(made.stdout.splitlines()[-1]))


@contextmanager
def extreme_server(home: Path) -> Iterator[House]:
    """The longest names and the largest numbers, on a server that neither ticks nor runs anything."""
    ready_home(home)
    archive = {"ORION_ARCHIVE_PATH": str(home / "archive")}
    made = warm.run(
        [sys.executable, "-m", "tests.browser.sample.extreme"],
        env=environment(home, DJANGO_SETTINGS_MODULE="orion_site.settings", **archive),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    with running_server(home, "--no-services", **archive) as server:
        yield House(f"http://127.0.0.1:{server.port}", json.loads(made.stdout.splitlines()[-1]))


@contextmanager
def still_server(home: Path) -> Iterator[House]:
    """The server whose clock stands still; its pages are the ids of a run, its flow and its deployment."""
    ready_home(home)
    program = [sys.executable, "-m", "tests.browser.sample.still"]
    variables = environment(home, DJANGO_SETTINGS_MODULE="orion_site.settings")
    made = warm.run([*program, "write"], env=variables, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    with serving([*program, "serve"], cwd=ROOT, env=environment(home)) as server:
        yield House(f"http://127.0.0.1:{server.port}", json.loads(made.stdout.splitlines()[-1]))


def is_page(context: BrowserContext, path: str) -> bool:
    """Whether there is something to look at: not what redirects, refuses, or is saved as a file."""
    answer = context.request.get(path, headers={"Accept": "text/html"}, max_redirects=0)
    return answer.status == 200 and "content-disposition" not in answer.headers
