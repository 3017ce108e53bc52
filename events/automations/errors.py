"""The errors of automations and notifications, in addition to `orchestration.errors`."""

from __future__ import annotations

from orchestration.errors import DomainError, not_found

PolicyNotFound = not_found("notification_policy", "Flow run notification policy not found")
AutomationNotFound = not_found("automation", "Automation not found")


class BadMessageTemplate(DomainError):
    code = "bad_message_template"
    message = "{reason}"


class BadAutomation(DomainError):
    code = "bad_automation"
    message = "{reason}"


class NothingToActOn(DomainError):
    code = "nothing_to_act_on"
    message = "The event names no {kind} that the action {action!r} could act on."


class AuthorRefused(DomainError):
    """The author of the automation may not do what its action does."""

    code = "author_refused"
    message = "Its author may not do that: {reason}"
