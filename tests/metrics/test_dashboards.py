"""The alert rules and the dashboard of `deploy/`, and the guide: every figure and label in them is at /metrics."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import click
import pytest
import yaml
from django.db import connection, transaction
from django.test import Client, TestCase
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import DjangoDbBlocker

from deployments.models import ServiceRecord
from orchestration.measured import claim_delay, report_delay
from orion_site.http.sockets import OpenSockets
from orion_site.http.thread_pools import BoundedPool
from orion_site.metrics import event_loop
from orion_site.metrics.views import shared
from orionflow.cli.root import root
from tests.factories import make_flow_run, make_log
from tests.services.dispatching import make_agent, make_queue

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
RULES = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((DEPLOY / "grafana" / "orion.json").read_text())
GUIDE = (ROOT / "docs" / "howto" / "observability.md").read_text()
NAME = r"(?<![\w$])(?:orion|process)_[a-z0-9_]+"
# Those of one database are not there on the other one, and those of Prometheus are its own.
OF_ONE_DATABASE = {"sqlite": ("orion_database_pool_", "orion_database_connections"), "postgresql": ("orion_sqlite_",)}
OF_PROMETHEUS = {"job", "instance"}


def expressions() -> Iterator[tuple[str, str]]:
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


@pytest.fixture(scope="module")
def shown(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Mapping[str, set[str]]:
    """The names of all lines that a busy server has, each with its labels."""
    with django_db_blocker.unblock(), transaction.atomic():
        found = labels_of_a_busy_server()
        transaction.set_rollback(True)
    return found


def labels_of_a_busy_server() -> Mapping[str, set[str]]:
    make_agent(now=timezone.now())
    make_queue("limited", concurrency_limit=1)
    with TestCase.captureOnCommitCallbacks(execute=True):
        make_flow_run("RUNNING")
    make_log(now=timezone.now() - timedelta(days=1))
    for one in (claim_delay, report_delay, event_loop.lateness):
        one.observe(0.1)
    pool = BoundedPool("requests", threads=1, in_flight=2)
    sockets = OpenSockets(None, most=1)
    ServiceRecord.objects.create(name="hints", every_seconds=1, last_tick=timezone.now())
    shared.forget()
    answer = Client(headers={"host": "127.0.0.1:4200"}).get("/metrics")
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(answer.content.decode()):
        for line in family.samples:
            found.setdefault(line.name, set()).update(line.labels)
    pool.close(0)
    del sockets
    return found


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_every_figure_and_label_exists(shown: Mapping[str, set[str]], where: str, expression: str):
    names = [one for one in re.findall(NAME, expression) if not one.startswith(OF_ONE_DATABASE[connection.vendor])]
    by = {label for group in re.findall(r"by \(([^)]*)\)", expression) for label in re.findall(r"\w+", group)}
    asked = {label for group in re.findall(r"\{([^}]*)\}", expression) for label in re.findall(r"(\w+)\s*[=!]", group)}

    assert [one for one in names if one not in shown] == []
    if names:
        known = OF_PROMETHEUS.union(*(shown[one] for one in names))
        assert (by | asked) - known == set()


def test_every_figure_of_the_guide_exists(shown: Mapping[str, set[str]]):
    named = {one for one in re.findall(NAME, GUIDE) if not one.startswith(OF_ONE_DATABASE[connection.vendor])}

    # The guide names histograms as a whole; their lines are sums, counts and buckets.
    assert {one for one in named if one not in shown and f"{one}_count" not in shown} == set()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_rule_has_a_severity_and_an_instruction(rule: dict[str, object]):
    labels, annotations = rule["labels"], rule["annotations"]

    assert isinstance(labels, dict)
    assert labels["severity"] in {"warning", "critical"}
    assert isinstance(annotations, dict)
    assert set(annotations) == {"summary", "action"}
    assert re.fullmatch(r"\d+[mhd]", str(rule["for"]))


def test_commands_in_rules_exist():
    text = " ".join(rule["annotations"]["action"] for rule in RULES)

    context = click.Context(root)
    for group, name in re.findall(r"\borion ([a-z-]+)(?: ([a-z]+))?", text):
        command = root.get_command(context, group)
        assert command is not None, group
        if name and isinstance(command, click.Group):
            assert command.get_command(context, name) is not None, (group, name)


def test_panels_do_not_overlap_and_have_unique_ids():
    cells = [
        (column, line)
        for panel in DASHBOARD["panels"]
        for column in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for line in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len(set(cells)) == len(cells)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
