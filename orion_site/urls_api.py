"""The API's paths, with the exact slashes of the contract. This alone is served inside a user's process."""

from __future__ import annotations

from django.urls import include, path, register_converter

from orchestration.api.operations import Endpoint, Later
from orchestration.api.set_state import SetFlowRunState, SetTaskRunState
from orion_site import system_api
from runs.api import flow_runs, flows, logs, task_runs
from runs.api.transitions import ApplyTaskRunTransitions


class Anything:
    """The rest of a path, whatever is in it; Django's own `path` stops at a line break."""

    regex = "(?s:.*)"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(Anything, "anything")

# A flow that runs and reports needs what is imported above. The rest is for those who look on.
artifacts = Later("runs.api.artifacts")
graphs = Later("runs.api.graphs")
histories = Later("runs.api.histories")
inputs = Later("runs.api.inputs")
limits = Later("deployments.api.limits")
lists = Later("runs.api.lists")
saved_searches = Later("runs.api.saved_searches")
states = Later("runs.api.states")
why = Later("runs.api.why")

api = [
    path("health", Endpoint(system_api.CheckHealth)),
    path("ready", Endpoint(system_api.CheckReady)),
    path("hello", Endpoint(system_api.SayHello)),
    path("version", Endpoint(system_api.ReadApiVersion)),
    path("csrf-token", Endpoint(system_api.ReadCsrfToken)),
    path("admin/settings", Endpoint(system_api.ReadSettings)),
    path("admin/version", Endpoint(system_api.ReadVersion)),
    path("openapi.json", system_api.document),
    #
    path("flows/", Endpoint(flows.CreateFlow)),
    path("flows/count", Endpoint(lists.CountFlows)),
    path("flows/filter", Endpoint(lists.FilterFlows)),
    path("flows/name/<anything:name>", Endpoint(flows.ReadFlowByName)),
    path("flows/<str:id>", Endpoint(flows.ReadFlow, flows.UpdateFlow, flows.DeleteFlow)),
    #
    path("flow_runs/", Endpoint(flow_runs.CreateFlowRun)),
    path("flow_runs/count", Endpoint(lists.CountFlowRuns)),
    path("flow_runs/filter", Endpoint(lists.FilterFlowRuns)),
    path("flow_runs/history", Endpoint(histories.ReadFlowRunHistory)),
    path("flow_runs/lateness", Endpoint(histories.ReadAverageLateness)),
    path("flow_runs/<str:id>", Endpoint(flow_runs.ReadFlowRun, flow_runs.UpdateFlowRun, flow_runs.DeleteFlowRun)),
    path("flow_runs/<str:id>/set_state", Endpoint(SetFlowRunState)),
    path("flow_runs/<str:id>/resume", Endpoint(inputs.ResumeFlowRun)),
    path("flow_runs/<str:id>/why", Endpoint(why.ExplainFlowRun)),
    path("flow_runs/<str:id>/graph", Endpoint(graphs.ReadDependencies)),
    path("flow_runs/<str:id>/graph-v2", Endpoint(graphs.ReadGraph)),
    path("flow_runs/<str:id>/input", Endpoint(inputs.CreateFlowRunInput)),
    path("flow_runs/<str:id>/input/filter", Endpoint(inputs.FilterFlowRunInput)),
    path("flow_runs/<str:id>/input/<str:key>", Endpoint(inputs.ReadFlowRunInput, inputs.DeleteFlowRunInput)),
    #
    path("task_runs/", Endpoint(task_runs.CreateTaskRun)),
    path("task_runs/count", Endpoint(lists.CountTaskRuns)),
    path("task_runs/filter", Endpoint(lists.FilterTaskRuns)),
    path("task_runs/history", Endpoint(histories.ReadTaskRunHistory)),
    path("task_runs/transitions", Endpoint(ApplyTaskRunTransitions)),
    path("task_runs/<str:id>", Endpoint(task_runs.ReadTaskRun, task_runs.UpdateTaskRun, task_runs.DeleteTaskRun)),
    path("task_runs/<str:id>/set_state", Endpoint(SetTaskRunState)),
    path("task_runs/<str:id>/why", Endpoint(why.ExplainTaskRun)),
    #
    path("flow_run_states/", Endpoint(states.ReadFlowRunStates)),
    path("flow_run_states/<str:id>", Endpoint(states.ReadFlowRunState)),
    path("task_run_states/", Endpoint(states.ReadTaskRunStates)),
    path("task_run_states/<str:id>", Endpoint(states.ReadTaskRunState)),
    #
    path("logs/", Endpoint(logs.CreateLogs)),
    path("logs/filter", Endpoint(lists.FilterLogs)),
    #
    path("artifacts/", Endpoint(artifacts.CreateArtifact)),
    path("artifacts/count", Endpoint(artifacts.CountArtifacts)),
    path("artifacts/filter", Endpoint(artifacts.FilterArtifacts)),
    path("artifacts/latest/count", Endpoint(artifacts.CountLatestArtifacts)),
    path("artifacts/latest/filter", Endpoint(artifacts.FilterLatestArtifacts)),
    path("artifacts/<str:id>", Endpoint(artifacts.ReadArtifact, artifacts.UpdateArtifact, artifacts.DeleteArtifact)),
    path("artifacts/<str:key>/latest", Endpoint(artifacts.ReadLatestArtifact)),
    #
    path("saved_searches/", Endpoint(saved_searches.SaveSearch)),
    path("saved_searches/filter", Endpoint(saved_searches.FilterSavedSearches)),
    path("saved_searches/<str:id>", Endpoint(saved_searches.ReadSavedSearch, saved_searches.DeleteSavedSearch)),
    #
    path("concurrency_limits/", Endpoint(limits.SetConcurrencyLimit)),
    path("concurrency_limits/filter", Endpoint(limits.FilterConcurrencyLimits)),
    path("concurrency_limits/tag/<anything:tag>/reset", Endpoint(limits.ResetConcurrencyLimit)),
    path(
        "concurrency_limits/tag/<anything:tag>",
        Endpoint(limits.ReadConcurrencyLimitByTag, limits.DeleteConcurrencyLimitByTag),
    ),
    path("concurrency_limits/<str:id>", Endpoint(limits.ReadConcurrencyLimit, limits.DeleteConcurrencyLimit)),
    #
    path("ui/flow_runs/history", Endpoint(histories.ReadSimpleFlowRuns)),
    path("ui/task_runs/count", Endpoint(histories.CountTaskRunsByState)),
    path("ui/task_runs/dashboard/counts", Endpoint(histories.CountTaskRunOutcomes)),
    #
    path("<anything:rest>", system_api.unknown_path),
]

urlpatterns = [path("api/", include(api))]
