"""What can be wrong with what events are asked. Classes as in `orchestration.errors`, which is their root.

NotFound: PolicyNotFound, AutomationNotFound
DomainError: BadMessageTemplate, BadTrigger, BadPageToken
"""

from __future__ import annotations

from orchestration.errors import DomainError, NotFound


class PolicyNotFound(NotFound):
    code = "notification_policy_not_found"
    message = "Flow run notification policy not found"


class AutomationNotFound(NotFound):
    code = "automation_not_found"
    message = "Automation not found"


class BadMessageTemplate(DomainError):
    code = "bad_message_template"
    message = "{reason}"


class BadTrigger(DomainError):
    code = "bad_trigger"
    message = "{reason}"


class BadPageToken(DomainError):
    code = "bad_page_token"
    message = "This page token is not one that the server gave; ask from the beginning with /events/filter."
