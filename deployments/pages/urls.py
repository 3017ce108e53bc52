"""The addresses of the pages about deployments, work, limits and what flows look up by name."""

from __future__ import annotations

from django.urls import path

from deployments.pages import (
    agents,
    deployment,
    deployment_actions,
    deployment_edit,
    deployment_list,
    limits,
    plan,
    run_form,
    schedules,
    variables,
    work,
)

app_name = "deployments"

urlpatterns = [
    path("work", work.work, name="work"),
    path("work/pools/new", work.new_pool, name="new-pool"),
    path("work/pools/<uuid:pool_id>/edit", work.edit_pool, name="edit-pool"),
    path("work/pools/<uuid:pool_id>/pause", work.pause_pool, name="pause-pool"),
    path("work/pools/<uuid:pool_id>/resume", work.resume_pool, name="resume-pool"),
    path("work/pools/<uuid:pool_id>/delete", work.delete_pool, name="delete-pool"),
    path("work/pools/<uuid:pool_id>/queues/new", work.new_queue, name="new-queue"),
    path("work/queues/<uuid:queue_id>", work.queue, name="queue"),
    path("work/queues/<uuid:queue_id>/edit", work.edit_queue, name="edit-queue"),
    path("work/queues/<uuid:queue_id>/pause", work.pause_queue, name="pause-queue"),
    path("work/queues/<uuid:queue_id>/resume", work.resume_queue, name="resume-queue"),
    path("work/queues/<uuid:queue_id>/delete", work.delete_queue, name="delete-queue"),
    path("deployments", deployment_list.deployments, name="deployments"),
    path("deployments/<uuid:deployment_id>", deployment.deployment, name="deployment"),
    path("schedule", plan.plan, name="schedule"),
    path("deployments/<uuid:deployment_id>/run", run_form.run_form, name="run-with"),
    path("deployments/<uuid:deployment_id>/run-now", deployment_actions.run_now, name="run-now"),
    path("deployments/<uuid:deployment_id>/pause", deployment_actions.pause, name="pause"),
    path("deployments/<uuid:deployment_id>/resume", deployment_actions.resume, name="resume"),
    path("deployments/<uuid:deployment_id>/edit", deployment_edit.edit_deployment, name="edit-deployment"),
    path("deployments/<uuid:deployment_id>/duplicate", deployment_edit.duplicate_deployment, name="duplicate"),
    path("deployments/<uuid:deployment_id>/delete", deployment_actions.delete, name="delete"),
    path("deployments/<uuid:deployment_id>/schedules/new", schedules.new_schedule, name="new-schedule"),
    path(
        "deployments/<uuid:deployment_id>/schedules/<uuid:schedule_id>/edit",
        schedules.edit_schedule,
        name="edit-schedule",
    ),
    path(
        "deployments/<uuid:deployment_id>/schedules/<uuid:schedule_id>/pause",
        schedules.pause_schedule,
        name="pause-schedule",
    ),
    path(
        "deployments/<uuid:deployment_id>/schedules/<uuid:schedule_id>/resume",
        schedules.resume_schedule,
        name="resume-schedule",
    ),
    path(
        "deployments/<uuid:deployment_id>/schedules/<uuid:schedule_id>/delete",
        schedules.remove_schedule,
        name="delete-schedule",
    ),
    path("agents", agents.agents, name="agents"),
    path("agents/<uuid:agent_id>", agents.agent, name="agent"),
    path("agents/<uuid:agent_id>/forget", agents.forget_agent, name="forget-agent"),
    path("limits", limits.limits, name="limits"),
    path("limits/tags/new", limits.new_tag_limit, name="new-tag-limit"),
    path("limits/tags/<uuid:limit_id>", limits.tag_limit, name="tag-limit"),
    path("limits/tags/<uuid:limit_id>/edit", limits.edit_tag_limit, name="edit-tag-limit"),
    path("limits/tags/<uuid:limit_id>/reset", limits.reset_tag_limit, name="reset-tag-limit"),
    path("limits/tags/<uuid:limit_id>/delete", limits.delete_tag_limit, name="delete-tag-limit"),
    path("limits/tags/<uuid:limit_id>/release/<uuid:task_run_id>", limits.release_tag_slot, name="release-tag-slot"),
    path("limits/global/new", limits.new_global_limit, name="new-global-limit"),
    path("limits/global/<uuid:limit_id>", limits.global_limit, name="global-limit"),
    path("limits/global/<uuid:limit_id>/edit", limits.edit_global_limit, name="edit-global-limit"),
    path("limits/global/<uuid:limit_id>/reset", limits.reset_global_limit, name="reset-global-limit"),
    path("limits/global/<uuid:limit_id>/delete", limits.remove_global_limit, name="remove-global-limit"),
    path(
        "limits/global/<uuid:limit_id>/release/<uuid:lease_id>",
        limits.release_global_slot,
        name="release-global-slot",
    ),
    path("variables", variables.variables, name="variables"),
    path("variables/new", variables.new_variable, name="new-variable"),
    path("variables/<uuid:variable_id>", variables.edit_variable, name="edit-variable"),
    path("variables/<uuid:variable_id>/delete", variables.remove_variable, name="delete-variable"),
]
