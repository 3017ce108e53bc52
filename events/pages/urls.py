"""The addresses of the pages about events, automations and notifications."""

from __future__ import annotations

from django.urls import path

from events.pages import automations, events, notifications

app_name = "events"

urlpatterns = [
    path("events", events.events, name="events"),
    path("events/<uuid:event_id>", events.event, name="event"),
    path("automations", automations.automations, name="automations"),
    path("automations/new", automations.new_automation, name="new-automation"),
    path("automations/<uuid:automation_id>", automations.automation, name="automation"),
    path("automations/<uuid:automation_id>/edit", automations.edit_automation, name="edit-automation"),
    path("automations/<uuid:automation_id>/enable", automations.enable_automation, name="enable-automation"),
    path("automations/<uuid:automation_id>/disable", automations.disable_automation, name="disable-automation"),
    path("automations/<uuid:automation_id>/test", automations.test_automation, name="test-automation"),
    path("automations/<uuid:automation_id>/delete", automations.remove_automation, name="delete-automation"),
    path("notifications", notifications.notifications, name="notifications"),
    path("notifications/new", notifications.new_policy, name="new-policy"),
    path("notifications/<uuid:policy_id>", notifications.edit_policy, name="policy"),
    path("notifications/<uuid:policy_id>/switch", notifications.switch_policy, name="switch-policy"),
    path("notifications/<uuid:policy_id>/test", notifications.test_policy, name="test-policy"),
    path("notifications/<uuid:policy_id>/delete", notifications.remove_policy, name="delete-policy"),
]
