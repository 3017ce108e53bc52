"""The API's paths, with the exact slashes of the contract. This alone is served inside a user's process."""

from __future__ import annotations

from django.urls import include, path

from orchestration.api.operations import endpoint
from orchestration.api.set_state import SetFlowRunState, SetTaskRunState
from runs.api import flow_runs, flows, logs, task_runs
from runs.api.transitions import ApplyTaskRunTransitions

api = [
    path("flows/", endpoint(flows.CreateFlow)),
    path("flows/name/<path:name>", endpoint(flows.ReadFlowByName)),
    path("flows/<str:id>", endpoint(flows.ReadFlow, flows.UpdateFlow, flows.DeleteFlow)),
    path("flow_runs/", endpoint(flow_runs.CreateFlowRun)),
    path("flow_runs/<str:id>", endpoint(flow_runs.ReadFlowRun, flow_runs.UpdateFlowRun, flow_runs.DeleteFlowRun)),
    path("flow_runs/<str:id>/set_state", endpoint(SetFlowRunState)),
    path("task_runs/", endpoint(task_runs.CreateTaskRun)),
    path("task_runs/transitions", endpoint(ApplyTaskRunTransitions)),
    path("task_runs/<str:id>", endpoint(task_runs.ReadTaskRun, task_runs.UpdateTaskRun, task_runs.DeleteTaskRun)),
    path("task_runs/<str:id>/set_state", endpoint(SetTaskRunState)),
    path("logs/", endpoint(logs.CreateLogs)),
]

urlpatterns = [path("api/", include(api))]
