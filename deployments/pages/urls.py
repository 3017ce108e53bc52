"""The addresses of the pages about deployments, work, limits and what flows look up by name."""

from __future__ import annotations

from django.urls import path

from deployments.pages import work

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
]
