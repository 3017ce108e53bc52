"""What happened, who wants to hear of it, and what is still to be sent."""

from __future__ import annotations

from events.models.automations import Automation, Firing, Tally
from events.models.happened import Event, ToldStatus
from events.models.notifications import Notification, NotificationPolicy

__all__ = ["Automation", "Event", "Firing", "Notification", "NotificationPolicy", "Tally", "ToldStatus"]
