"""The models of events, automations and notifications, where Django looks for them."""

from __future__ import annotations

from events.automations.models import Automation, Firing, Tally
from events.notifications.models import Notification, NotificationPolicy
from events.recording.models import Event, ToldStatus

__all__ = ["Automation", "Event", "Firing", "Notification", "NotificationPolicy", "Tally", "ToldStatus"]
