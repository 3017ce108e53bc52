"""The dashboard's addresses."""

from __future__ import annotations

from django.urls import path

from runs.pages import actions, artifacts, bulk, lists, run, search

app_name = "runs"

urlpatterns = [
    path("runs", lists.runs, name="runs"),
    path("runs/all/<slug:action>", bulk.bulk, name="bulk"),
    path("search", search.search, name="search"),
    path("runs/<uuid:run_id>", run.flow_run, name="run"),
    path("runs/<uuid:run_id>/cancel", actions.cancel, name="cancel"),
    path("runs/<uuid:run_id>/retry", actions.retry, name="retry"),
    path("runs/<uuid:run_id>/delete", actions.delete, name="delete"),
    path("task-runs/<uuid:run_id>", run.task_run, name="task-run"),
    path("flows", lists.flows, name="flows"),
    path("flows/<uuid:flow_id>", lists.flow, name="flow"),
    path("artifacts", artifacts.artifacts, name="artifacts"),
    path("artifacts/<uuid:artifact_id>", artifacts.artifact, name="artifact"),
]
