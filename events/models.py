"""What happened, who wants to hear of it, and what is still to be sent."""

from __future__ import annotations

from events.automations.models import Automation, Firing, Tally
from events.notifications.models import Notification, NotificationPolicy
from events.recording.models import Event, ToldStatus

__all__ = ["Automation", "Event", "Firing", "Notification", "NotificationPolicy", "Tally", "ToldStatus"]
