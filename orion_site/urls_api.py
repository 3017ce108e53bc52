"""The API's paths, with the exact slashes of the contract. This alone is served inside a user's process."""

from __future__ import annotations

from django.urls import include, path

from deployments.api import limits
from orchestration.api.operations import endpoint
from orchestration.api.set_state import SetFlowRunState, SetTaskRunState
from orion_site import openapi, system_api
from runs.api import (
    artifacts,
    flow_runs,
    flows,
    graphs,
    histories,
    inputs,
    lists,
    logs,
    saved_searches,
    states,
    task_runs,
)
from runs.api.transitions import ApplyTaskRunTransitions
from runs.api.why import ExplainFlowRun, ExplainTaskRun

api = [
    path("health", endpoint(system_api.CheckHealth)),
    path("ready", endpoint(system_api.CheckReady)),
    path("hello", endpoint(system_api.SayHello)),
    path("version", endpoint(system_api.ReadVersion)),
    path("csrf-token", endpoint(system_api.ReadCsrfToken)),
    path("admin/settings", endpoint(system_api.ReadSettings)),
    path("admin/version", endpoint(system_api.ReadVersion)),
    path("openapi.json", openapi.document),
    #
    path("flows/", endpoint(flows.CreateFlow)),
    path("flows/count", endpoint(lists.CountFlows)),
    path("flows/filter", endpoint(lists.FilterFlows)),
    path("flows/name/<path:name>", endpoint(flows.ReadFlowByName)),
    path("flows/<str:id>", endpoint(flows.ReadFlow, flows.UpdateFlow, flows.DeleteFlow)),
    #
    path("flow_runs/", endpoint(flow_runs.CreateFlowRun)),
    path("flow_runs/count", endpoint(lists.CountFlowRuns)),
    path("flow_runs/filter", endpoint(lists.FilterFlowRuns)),
    path("flow_runs/history", endpoint(histories.ReadFlowRunHistory)),
    path("flow_runs/lateness", endpoint(histories.ReadAverageLateness)),
    path("flow_runs/<str:id>", endpoint(flow_runs.ReadFlowRun, flow_runs.UpdateFlowRun, flow_runs.DeleteFlowRun)),
    path("flow_runs/<str:id>/set_state", endpoint(SetFlowRunState)),
    path("flow_runs/<str:id>/resume", endpoint(inputs.ResumeFlowRun)),
    path("flow_runs/<str:id>/why", endpoint(ExplainFlowRun)),
    path("flow_runs/<str:id>/graph", endpoint(graphs.ReadDependencies)),
    path("flow_runs/<str:id>/graph-v2", endpoint(graphs.ReadGraph)),
    path("flow_runs/<str:id>/input", endpoint(inputs.CreateFlowRunInput)),
    path("flow_runs/<str:id>/input/filter", endpoint(inputs.FilterFlowRunInput)),
    path("flow_runs/<str:id>/input/<str:key>", endpoint(inputs.ReadFlowRunInput, inputs.DeleteFlowRunInput)),
    #
    path("task_runs/", endpoint(task_runs.CreateTaskRun)),
    path("task_runs/count", endpoint(lists.CountTaskRuns)),
    path("task_runs/filter", endpoint(lists.FilterTaskRuns)),
    path("task_runs/history", endpoint(histories.ReadTaskRunHistory)),
    path("task_runs/transitions", endpoint(ApplyTaskRunTransitions)),
    path("task_runs/<str:id>", endpoint(task_runs.ReadTaskRun, task_runs.UpdateTaskRun, task_runs.DeleteTaskRun)),
    path("task_runs/<str:id>/set_state", endpoint(SetTaskRunState)),
    path("task_runs/<str:id>/why", endpoint(ExplainTaskRun)),
    #
    path("flow_run_states/", endpoint(states.ReadFlowRunStates)),
    path("flow_run_states/<str:id>", endpoint(states.ReadFlowRunState)),
    path("task_run_states/", endpoint(states.ReadTaskRunStates)),
    path("task_run_states/<str:id>", endpoint(states.ReadTaskRunState)),
    #
    path("logs/", endpoint(logs.CreateLogs)),
    path("logs/filter", endpoint(logs.FilterLogs)),
    #
    path("artifacts/", endpoint(artifacts.CreateArtifact)),
    path("artifacts/count", endpoint(artifacts.CountArtifacts)),
    path("artifacts/filter", endpoint(artifacts.FilterArtifacts)),
    path("artifacts/latest/count", endpoint(artifacts.CountLatestArtifacts)),
    path("artifacts/latest/filter", endpoint(artifacts.FilterLatestArtifacts)),
    path("artifacts/<str:id>", endpoint(artifacts.ReadArtifact, artifacts.UpdateArtifact, artifacts.DeleteArtifact)),
    path("artifacts/<str:key>/latest", endpoint(artifacts.ReadLatestArtifact)),
    #
    path("saved_searches/", endpoint(saved_searches.SaveSearch)),
    path("saved_searches/filter", endpoint(saved_searches.FilterSavedSearches)),
    path("saved_searches/<str:id>", endpoint(saved_searches.ReadSavedSearch, saved_searches.DeleteSavedSearch)),
    #
    path("concurrency_limits/", endpoint(limits.SetConcurrencyLimit)),
    path("concurrency_limits/filter", endpoint(limits.FilterConcurrencyLimits)),
    path("concurrency_limits/tag/<path:tag>/reset", endpoint(limits.ResetConcurrencyLimit)),
    path(
        "concurrency_limits/tag/<path:tag>",
        endpoint(limits.ReadConcurrencyLimitByTag, limits.DeleteConcurrencyLimitByTag),
    ),
    path("concurrency_limits/<str:id>", endpoint(limits.ReadConcurrencyLimit, limits.DeleteConcurrencyLimit)),
    #
    path("ui/flow_runs/history", endpoint(histories.ReadSimpleFlowRuns)),
    path("ui/task_runs/count", endpoint(histories.CountTaskRunsByState)),
    path("ui/task_runs/dashboard/counts", endpoint(histories.CountTaskRunOutcomes)),
    #
    path("<path:rest>", system_api.unknown_path),
]

urlpatterns = [path("api/", include(api))]
