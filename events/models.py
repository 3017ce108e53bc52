"""The models of events, automations and notifications, for Django."""

from __future__ import annotations

from events.automations.models import ActionRun, Automation, TriggerState
from events.notifications.models import Notification, NotificationPolicy
from events.recording.models import Event, RecordedStatus

__all__ = ["Automation", "Event", "ActionRun", "Notification", "NotificationPolicy", "TriggerState", "RecordedStatus"]
