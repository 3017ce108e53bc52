"""The addresses of the API, with the exact slashes of the contract.

An API inside a user's process serves only these.
"""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path, register_converter

from orchestration.api.operations import Endpoint, Later
from orchestration.api.set_state import SetFlowRunState, SetTaskRunState
from orion_site import system_api
from runs.flow_runs.api import flow_runs
from runs.flows import api as flows
from runs.logs import api as logs
from runs.task_runs.api import task_runs
from runs.task_runs.api.transitions import ApplyTaskRunTransitions


class Anything:
    """Matches the rest of a path with any characters; Django's `path` stops at a line break."""

    regex = "(?s:.+)"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


class AnythingOrNothing(Anything):
    regex = "(?s:.*)"


register_converter(Anything, "anything")
register_converter(AnythingOrNothing, "anything_or_nothing")

# A flow that runs and reports needs only the modules imported above. The others are imported when needed.
agents = Later("deployments.dispatch.api.agents")
audit = Later("orion_site.audit.api")
artifacts = Later("runs.artifacts.api")
automations = Later("events.automations.api.automations")
backfills = Later("deployments.backfills.api.backfills")
block_documents = Later("deployments.blocks.api.block_documents")
block_schemas = Later("deployments.blocks.api.block_schemas")
block_types = Later("deployments.blocks.api.block_types")
bulk_actions = Later("runs.bulk_actions.api")
cancelling = Later("runs.flow_runs.api.cancelling")
calendars = Later("deployments.schedules.api.calendars")
comparing = Later("runs.comparing.api")
collections = Later("deployments.blocks.api.collections")
database_api = Later("orion_site.database.api")
deployments = Later("deployments.definitions.api.deployments")
due_runs = Later("deployments.dispatch.api.due_runs")
environments = Later("runs.environments.api")
global_limits = Later("deployments.limits.api.global_limits")
graphs = Later("runs.graphs.api")
held_slots = Later("deployments.limits.api.held_slots")
histories = Later("runs.history.api")
in_common = Later("runs.in_common.api")
inputs = Later("runs.inputs.api")
limits = Later("deployments.limits.api.limits")
lists = Later("runs.lists.api")
events = Later("events.recording.api.events")
exports = Later("runs.exports.api")
firings = Later("events.automations.api.firings")
metrics_api = Later("orion_site.metrics.api")
notification_policies = Later("events.notifications.api.policies")
notifications = Later("events.notifications.api.notifications")
retries = Later("runs.retries.api")
problems = Later("runs.problems.api")
runs_of_deployments = Later("deployments.definitions.api.runs")
results = Later("runs.results.api")
saved_searches = Later("runs.saved_searches.api")
schedules = Later("deployments.schedules.api.schedules")
schema_checks = Later("deployments.definitions.api.schema_checks")
services_api = Later("orion_site.services.api")
states = Later("runs.states.api")
time_spent = Later("runs.time_spent.api")
variables = Later("deployments.blocks.api.variables")
why = Later("runs.why.api")
work_pools = Later("deployments.work.api.work_pools")
work_queues = Later("deployments.work.api.work_queues")
workers = Later("deployments.dispatch.api.workers")

api = [
    path("health", Endpoint(system_api.CheckHealth)),
    path("ready", Endpoint(system_api.CheckReady)),
    path("hello", Endpoint(system_api.SayHello)),
    path("version", Endpoint(system_api.ReadApiVersion)),
    path("me", Endpoint(system_api.ReadMe)),
    path("me/link", Endpoint(system_api.MakeLink)),
    path("csrf-token", Endpoint(system_api.ReadCsrfToken)),
    path("admin/services", Endpoint(services_api.ReadServices)),
    path("admin/database/clear", Endpoint(database_api.ClearDatabase)),
    path("admin/database/create", Endpoint(database_api.CreateDatabase)),
    path("admin/database/drop", Endpoint(database_api.DropDatabase)),
    path("admin/bottlenecks", Endpoint(metrics_api.FindBottlenecks)),
    path("admin/settings", Endpoint(system_api.ReadSettings)),
    path("admin/version", Endpoint(system_api.ReadVersion)),
    path("audit/filter", Endpoint(audit.FilterAuditEntries)),
    path("audit/verify", Endpoint(audit.VerifyAuditEntries)),
    path("openapi.json", system_api.document),
    #
    path("flows/", Endpoint(flows.CreateFlow)),
    path("flows/count", Endpoint(lists.CountFlows)),
    path("flows/filter", Endpoint(lists.FilterFlows)),
    path("flows/name/<anything:name>", Endpoint(flows.ReadFlowByName)),
    path("flows/<str:id>", Endpoint(flows.ReadFlow, flows.UpdateFlow, flows.DeleteFlow)),
    #
    path("environments/", Endpoint(environments.StoreEnvironment)),
    path("environments/<str:id>", Endpoint(environments.ReadEnvironment)),
    #
    path("flow_runs/", Endpoint(flow_runs.CreateFlowRun)),
    path("flow_runs/count", Endpoint(lists.CountFlowRuns)),
    path("flow_runs/filter", Endpoint(lists.FilterFlowRuns)),
    path("flow_runs/history", Endpoint(histories.ReadFlowRunHistory)),
    path("flow_runs/in_common", Endpoint(in_common.FindWhatIsCommon)),
    path("flow_runs/time", Endpoint(time_spent.ReadTimeOfFlowRuns)),
    path("flow_runs/lateness", Endpoint(histories.ReadAverageLateness)),
    path("flow_runs/<str:id>", Endpoint(flow_runs.ReadFlowRun, flow_runs.UpdateFlowRun, flow_runs.DeleteFlowRun)),
    path("flow_runs/<str:id>/set_state", Endpoint(SetFlowRunState)),
    path("flow_runs/<str:id>/release", Endpoint(held_slots.ReleaseFlowRun)),
    path("flow_runs/<str:id>/cancel", Endpoint(cancelling.CancelFlowRun)),
    path("flow_runs/<str:id>/resume", Endpoint(inputs.ResumeFlowRun)),
    path("flow_runs/<str:id>/retry", Endpoint(retries.RetryFlowRun)),
    path("flow_runs/<str:id>/retry/preview", Endpoint(retries.PreviewRetry)),
    path("flow_runs/<str:id>/retries", Endpoint(retries.FilterRetries)),
    path("flow_runs/<str:id>/retries/outcome", Endpoint(retries.ReportRetry)),
    path("flow_runs/<str:id>/recorded", Endpoint(retries.ReadRecorded)),
    path("flow_runs/<str:id>/why", Endpoint(why.ExplainFlowRun)),
    path("flow_runs/<str:id>/time", Endpoint(time_spent.ReadTimeOfFlowRun)),
    path("flow_runs/<str:id>/diff", Endpoint(comparing.DiffFlowRuns)),
    path("flow_runs/<str:id>/graph", Endpoint(graphs.ReadDependencies)),
    path("flow_runs/<str:id>/graph-v2", Endpoint(graphs.ReadGraph)),
    path("flow_runs/<str:id>/export", Endpoint(exports.ExportFlowRun), name="export-flow-run"),
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
    path("problems/filter", Endpoint(problems.FilterProblems)),
    path("problems/count", Endpoint(problems.CountProblems)),
    path("problems/waiting", Endpoint(problems.ReadWaiting)),
    path("problems/<str:id>", Endpoint(problems.ReadProblem)),
    path("problems/<str:id>/retry", Endpoint(problems.RetryProblem)),
    path("problems/<str:id>/retry/preview", Endpoint(problems.PreviewProblemRetry)),
    path("problems/<str:id>/mute", Endpoint(problems.MuteProblem)),
    path("problems/<str:id>/unmute", Endpoint(problems.UnmuteProblem)),
    path("problems/<str:id>/resolve", Endpoint(problems.ResolveProblem)),
    path("problems/<str:id>/assign", Endpoint(problems.AssignProblem)),
    #
    path("bulk_actions/", Endpoint(bulk_actions.CreateBulkAction)),
    path("bulk_actions/filter", Endpoint(bulk_actions.FilterBulkActions)),
    path("bulk_actions/<str:id>", Endpoint(bulk_actions.ReadBulkAction)),
    path("bulk_actions/<str:id>/stop", Endpoint(bulk_actions.StopBulkAction)),
    path("bulk_actions/<str:id>/runs/filter", Endpoint(bulk_actions.FilterBulkRuns)),
    path("results/filter", Endpoint(results.FilterResults)),
    path("saved_searches/", Endpoint(saved_searches.SaveSearch)),
    path("saved_searches/filter", Endpoint(saved_searches.FilterSavedSearches)),
    path("saved_searches/<str:id>", Endpoint(saved_searches.ReadSavedSearch, saved_searches.DeleteSavedSearch)),
    #
    path("notifications/filter", Endpoint(notifications.FilterNotifications)),
    path("notifications/test", Endpoint(notifications.TryNotification)),
    path("flow_run_notification_policies/", Endpoint(notification_policies.CreateFlowRunNotificationPolicy)),
    path("flow_run_notification_policies/filter", Endpoint(notification_policies.FilterFlowRunNotificationPolicies)),
    path(
        "flow_run_notification_policies/<str:id>",
        Endpoint(
            notification_policies.ReadFlowRunNotificationPolicy,
            notification_policies.UpdateFlowRunNotificationPolicy,
            notification_policies.DeleteFlowRunNotificationPolicy,
        ),
    ),
    #
    path("events", Endpoint(events.ReportEvents)),
    path("events/filter", Endpoint(events.FilterEvents)),
    path("events/filter/next", Endpoint(events.ReadNextEvents)),
    path("events/count-by/<str:countable>", Endpoint(events.CountEvents)),
    #
    path("automations/", Endpoint(automations.CreateAutomation)),
    path("automations/filter", Endpoint(automations.FilterAutomations)),
    path("automations/firings/filter", Endpoint(firings.FilterFirings)),
    path("automations/<str:id>/test", Endpoint(firings.TryAutomation)),
    path("automations/count", Endpoint(automations.CountAutomations)),
    path("automations/related-to/<anything:resource_id>", Endpoint(automations.ReadRelatedAutomations)),
    path("automations/owned-by/<anything:resource_id>", Endpoint(automations.DeleteOwnedAutomations)),
    path(
        "automations/<str:id>",
        Endpoint(
            automations.ReadAutomation,
            automations.ReplaceAutomation,
            automations.SwitchAutomation,
            automations.DeleteAutomation,
        ),
    ),
    path("templates/validate", Endpoint(automations.ValidateTemplate)),
    #
    path("collections/views/<str:view>", Endpoint(collections.ReadCollectionView)),
    #
    path("concurrency_limits/", Endpoint(limits.SetConcurrencyLimit)),
    path("concurrency_limits/filter", Endpoint(limits.FilterConcurrencyLimits)),
    path("concurrency_limits/tag/<anything:tag>/reset", Endpoint(limits.ResetConcurrencyLimit)),
    path("concurrency_limits/tag/<anything:tag>/holders", Endpoint(held_slots.ReadTagHolders)),
    path("concurrency_limits/tag/<anything:tag>/release", Endpoint(held_slots.ReleaseTagSlot)),
    path(
        "concurrency_limits/tag/<anything:tag>",
        Endpoint(limits.ReadConcurrencyLimitByTag, limits.DeleteConcurrencyLimitByTag),
    ),
    path("concurrency_limits/<str:id>", Endpoint(limits.ReadConcurrencyLimit, limits.DeleteConcurrencyLimit)),
    #
    path("v2/concurrency_limits/", Endpoint(global_limits.CreateGlobalLimit)),
    path("v2/concurrency_limits/filter", Endpoint(global_limits.FilterGlobalLimits)),
    path("v2/concurrency_limits/increment", Endpoint(global_limits.TakeSlots)),
    path("v2/concurrency_limits/decrement", Endpoint(global_limits.ReturnSlots)),
    path("v2/concurrency_limits/renew", Endpoint(held_slots.RenewSlots)),
    path("v2/concurrency_limits/release", Endpoint(held_slots.ReleaseSlots)),
    path("v2/concurrency_limits/<str:id_or_name>/holders", Endpoint(held_slots.ReadGlobalLimitHolders)),
    path(
        "v2/concurrency_limits/<anything:id_or_name>",
        Endpoint(global_limits.ReadGlobalLimit, global_limits.UpdateGlobalLimit, global_limits.DeleteGlobalLimit),
    ),
    #
    path("work_pools/", Endpoint(work_pools.CreateWorkPool)),
    path("work_pools/count", Endpoint(work_pools.CountWorkPools)),
    path("work_pools/filter", Endpoint(work_pools.FilterWorkPools)),
    path(
        "work_pools/<str:name>",
        Endpoint(work_pools.ReadWorkPool, work_pools.UpdateWorkPool, work_pools.DeleteWorkPool),
    ),
    path("work_pools/<str:name>/get_scheduled_flow_runs", Endpoint(due_runs.PollWorkPool)),
    path("work_pools/<str:work_pool_name>/queues", Endpoint(work_queues.CreatePoolQueue)),
    path("work_pools/<str:work_pool_name>/queues/filter", Endpoint(work_queues.FilterPoolQueues)),
    path(
        "work_pools/<str:work_pool_name>/queues/<str:name>",
        Endpoint(work_queues.ReadPoolQueue, work_queues.UpdatePoolQueue, work_queues.DeletePoolQueue),
    ),
    path("work_pools/<str:work_pool_name>/workers/heartbeat", Endpoint(workers.HearWorker)),
    path("work_pools/<str:work_pool_name>/workers/filter", Endpoint(workers.FilterWorkers)),
    path("work_pools/<str:work_pool_name>/workers/<str:name>", Endpoint(workers.DeleteWorker)),
    #
    path("agents/", Endpoint(agents.RegisterAgent)),
    path("agents/<str:id>/claim", Endpoint(agents.ClaimRuns)),
    path("agents/<str:id>/heartbeat", Endpoint(agents.SendHeartbeat)),
    path("agents/<str:id>/orders", Endpoint(agents.AwaitOrders)),
    path("agents/<str:id>/ended", Endpoint(agents.ReportEnd)),
    path("agents/<str:id>/leave", Endpoint(agents.LeaveAgent)),
    #
    path("work_queues/", Endpoint(work_queues.CreateWorkQueue)),
    path("work_queues/filter", Endpoint(work_queues.FilterWorkQueues)),
    path("work_queues/name/<anything:name>", Endpoint(work_queues.ReadWorkQueueByName)),
    path(
        "work_queues/<str:id>",
        Endpoint(work_queues.ReadWorkQueue, work_queues.UpdateWorkQueue, work_queues.DeleteWorkQueue),
    ),
    path("work_queues/<str:id>/get_runs", Endpoint(due_runs.PollWorkQueue)),
    path("work_queues/<str:id>/holders", Endpoint(held_slots.ReadQueueHolders)),
    path("work_queues/<str:id>/status", Endpoint(work_queues.ReadWorkQueueStatus)),
    #
    path("deployments/", Endpoint(deployments.CreateDeployment)),
    path("deployments/check", Endpoint(deployments.CheckDeployment)),
    path("deployments/count", Endpoint(deployments.CountDeployments)),
    path("deployments/filter", Endpoint(deployments.FilterDeployments)),
    path("deployments/get_scheduled_flow_runs", Endpoint(due_runs.PollDeployments)),
    path(
        "deployments/name/<str:flow_name>/<anything:deployment_name>",
        Endpoint(deployments.ReadDeploymentByName),
    ),
    path(
        "deployments/<str:id>",
        Endpoint(deployments.ReadDeployment, deployments.UpdateDeployment, deployments.DeleteDeployment),
    ),
    path("deployments/<str:id>/adopt", Endpoint(deployments.AdoptDeployment)),
    path("deployments/<str:id>/create_flow_run", Endpoint(runs_of_deployments.CreateFlowRunFromDeployment)),
    path("deployments/<str:id>/pause_deployment", Endpoint(deployments.PauseDeployment)),
    path("deployments/<str:id>/pause_unless_served", Endpoint(deployments.PauseUnlessServed)),
    path("deployments/<str:id>/resume_deployment", Endpoint(deployments.ResumeDeployment)),
    path("deployments/<str:id>/set_schedule_active", Endpoint(deployments.SetScheduleActive)),
    path("deployments/<str:id>/set_schedule_inactive", Endpoint(deployments.SetScheduleInactive)),
    path("deployments/<str:id>/work_queue_check", Endpoint(due_runs.CheckWorkQueues)),
    path("deployments/<str:id>/schedule", Endpoint(runs_of_deployments.ScheduleDeployment)),
    path("deployments/<str:id>/schedule.ics", Endpoint(schedules.ReadDeploymentFeed)),
    path("deployments/<str:id>/schedules", Endpoint(schedules.ReadSchedules, schedules.CreateSchedules)),
    path(
        "deployments/<str:id>/schedules/<str:schedule_id>",
        Endpoint(schedules.UpdateSchedule, schedules.DeleteSchedule),
    ),
    path("deployments/<str:id>/schedules/<str:schedule_id>/preview", Endpoint(schedules.PreviewSchedule)),
    #
    path("schedules/preview", Endpoint(schedules.PreviewDraft)),
    path("schedules.ics", Endpoint(schedules.ReadFeed)),
    #
    path("backfills/", Endpoint(backfills.CreateBackfill)),
    path("backfills/preview", Endpoint(backfills.PreviewBackfill)),
    path("backfills/filter", Endpoint(backfills.FilterBackfills)),
    path("backfills/<str:id>", Endpoint(backfills.ReadBackfill)),
    path("backfills/<str:id>/pause", Endpoint(backfills.PauseBackfill)),
    path("backfills/<str:id>/resume", Endpoint(backfills.ResumeBackfill)),
    path("backfills/<str:id>/cancel", Endpoint(backfills.CancelBackfill)),
    path("calendars/", Endpoint(calendars.CreateCalendar)),
    path("calendars/filter", Endpoint(calendars.FilterCalendars)),
    path("calendars/<str:id>", Endpoint(calendars.ReadCalendar, calendars.UpdateCalendar, calendars.DeleteCalendar)),
    #
    path("variables/", Endpoint(variables.CreateVariable)),
    path("variables/count", Endpoint(variables.CountVariables)),
    path("variables/filter", Endpoint(variables.FilterVariables)),
    path(
        "variables/name/<anything:name>",
        Endpoint(variables.ReadVariableByName, variables.UpdateVariableByName, variables.DeleteVariableByName),
    ),
    path("variables/<str:id>", Endpoint(variables.ReadVariable, variables.UpdateVariable, variables.DeleteVariable)),
    #
    path("block_types/", Endpoint(block_types.CreateBlockType)),
    path("block_types/filter", Endpoint(block_types.FilterBlockTypes)),
    path("block_types/install_system_block_types", Endpoint(block_types.InstallSystemBlockTypes)),
    path(
        "block_types/slug/<str:slug>/block_documents/name/<anything:name>",
        Endpoint(block_documents.ReadBlockDocumentByName),
    ),
    path("block_types/slug/<str:slug>/block_documents", Endpoint(block_documents.ReadBlockDocumentsOfType)),
    path("block_types/slug/<str:slug>", Endpoint(block_types.ReadBlockTypeBySlug)),
    path(
        "block_types/<str:id>",
        Endpoint(block_types.ReadBlockType, block_types.UpdateBlockType, block_types.DeleteBlockType),
    ),
    #
    path("block_schemas/", Endpoint(block_schemas.CreateBlockSchema)),
    path("block_schemas/filter", Endpoint(block_schemas.FilterBlockSchemas)),
    path("block_schemas/checksum/<anything:checksum>", Endpoint(block_schemas.ReadBlockSchemaByChecksum)),
    path("block_schemas/<str:id>", Endpoint(block_schemas.ReadBlockSchema, block_schemas.DeleteBlockSchema)),
    path("block_capabilities/", Endpoint(block_schemas.ReadBlockCapabilities)),
    #
    path("block_documents/", Endpoint(block_documents.CreateBlockDocument)),
    path("block_documents/count", Endpoint(block_documents.CountBlockDocuments)),
    path("block_documents/filter", Endpoint(block_documents.FilterBlockDocuments)),
    path(
        "block_documents/<str:id>",
        Endpoint(
            block_documents.ReadBlockDocument, block_documents.UpdateBlockDocument, block_documents.DeleteBlockDocument
        ),
    ),
    #
    path("ui/schemas/validate", Endpoint(schema_checks.ValidateAgainstSchema)),
    path("ui/flow_runs/history", Endpoint(histories.ReadSimpleFlowRuns)),
    path("ui/task_runs/count", Endpoint(histories.CountTaskRunsByState)),
    path("ui/task_runs/dashboard/counts", Endpoint(histories.CountTaskRunOutcomes)),
    #
    path("<anything_or_nothing:rest>", system_api.unknown_path),
]

# The first words of the addresses to which runs and agents report.
_REPORTS = ("task_runs/", "flow_runs/", "logs/", "agents/")


def _by_subject(addresses: list[URLPattern]) -> list[URLPattern | URLResolver]:
    """Group addresses by their first word, those of reports first: Django tries one after the other."""
    groups: dict[str, list[URLPattern]] = {word: [] for word in _REPORTS}
    for one in addresses:
        word, slash, rest = str(one.pattern).partition("/")
        below = path(rest, one.callback, one.default_args, one.name) if slash else one
        groups.setdefault(word + slash, []).append(below)
    return [path(word, include(below)) if word.endswith("/") else below[0] for word, below in groups.items()]


urlpatterns = [path("api/", include(_by_subject(api)))]
