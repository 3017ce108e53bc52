"""The addresses of the dashboard's pages of runs."""

from __future__ import annotations

from django.urls import path

from runs.pages import (
    actions,
    artifacts,
    bulk,
    bulk_actions,
    comparing,
    flow,
    graph_tab,
    lists,
    log,
    problems,
    resume,
    retry,
    run,
    saved_views,
    task_runs,
    time_spent,
)

app_name = "runs"

urlpatterns = [
    path("runs", lists.runs, name="runs"),
    path("runs/common", comparing.common, name="common"),
    path("runs/all/<slug:action>", bulk.bulk, name="bulk"),
    path("problems", problems.problems, name="problems"),
    path("problems/<uuid:problem_id>", problems.problem, name="problem"),
    path("problems/<uuid:problem_id>/mute", problems.mute, name="mute-problem"),
    path("problems/<uuid:problem_id>/unmute", problems.unmute, name="unmute-problem"),
    path("problems/<uuid:problem_id>/resolve", problems.resolve, name="resolve-problem"),
    path("problems/<uuid:problem_id>/assign", problems.assign, name="assign-problem"),
    path("bulk", bulk_actions.bulk_actions, name="bulk-actions"),
    path("bulk/<uuid:bulk_id>", bulk_actions.bulk_action, name="bulk-action"),
    path("bulk/<uuid:bulk_id>/stop", bulk_actions.stop, name="stop-bulk-action"),
    path("runs/<uuid:base_id>..<uuid:run_id>", comparing.compare, name="compare"),
    path("runs/<uuid:run_id>", run.flow_run, name="run"),
    path("runs/<uuid:run_id>/next-failed", run.next_failed_run, name="next-failed"),
    path("runs/<uuid:run_id>/diff", comparing.compare_with_last_good, name="compare-with-last-good"),
    path("runs/<uuid:run_id>/graph.svg", graph_tab.graph_image, name="graph-image"),
    path("runs/<uuid:run_id>/cancel", actions.cancel, name="cancel"),
    path("runs/<uuid:run_id>/resume", resume.resume, name="resume"),
    path("runs/<uuid:run_id>/retry", actions.retry, name="retry"),
    path("runs/<uuid:run_id>/retry-from", retry.retry_from, name="retry-from"),
    path("runs/<uuid:run_id>/delete", actions.delete, name="delete"),
    path("runs/<uuid:run_id>/log/error", log.flow_run_error, name="run-log-error"),
    path("runs/<uuid:run_id>/log.txt", log.flow_run_file, {"kind": "txt"}, name="run-log-text"),
    path("runs/<uuid:run_id>/log.jsonl", log.flow_run_file, {"kind": "jsonl"}, name="run-log-jsonl"),
    path("time", time_spent.time_of_runs, name="time"),
    path("task-runs", task_runs.task_runs, name="task-runs"),
    path("task-runs/<uuid:run_id>", run.task_run, name="task-run"),
    path("task-runs/<uuid:run_id>/log/error", log.task_run_error, name="task-run-log-error"),
    path("task-runs/<uuid:run_id>/log.txt", log.task_run_file, {"kind": "txt"}, name="task-run-log-text"),
    path("task-runs/<uuid:run_id>/log.jsonl", log.task_run_file, {"kind": "jsonl"}, name="task-run-log-jsonl"),
    path("flows", lists.flows, name="flows"),
    path("flows/<uuid:flow_id>", flow.flow, name="flow"),
    path("views/<slug:list_name>", saved_views.save, name="save-view"),
    path("views/<slug:list_name>/default", saved_views.make_default, name="default-view"),
    path("views/<slug:list_name>/<uuid:search_id>/rename", saved_views.rename, name="rename-view"),
    path("views/<slug:list_name>/<uuid:search_id>/delete", saved_views.delete, name="delete-view"),
    path("artifacts", artifacts.artifacts, name="artifacts"),
    path("artifacts/<uuid:artifact_id>", artifacts.artifact, name="artifact"),
]
