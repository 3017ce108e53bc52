"""The addresses of the pages about deployments, work, limits and what flows look up by name."""

from __future__ import annotations

from django.urls import path

from deployments.pages import deployment, deployment_actions, deployment_list, work

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
    path("deployments/<uuid:deployment_id>/run-now", deployment_actions.run_now, name="run-now"),
    path("deployments/<uuid:deployment_id>/pause", deployment_actions.pause, name="pause"),
    path("deployments/<uuid:deployment_id>/resume", deployment_actions.resume, name="resume"),
    path("deployments/<uuid:deployment_id>/delete", deployment_actions.delete, name="delete"),
]
