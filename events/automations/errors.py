"""The errors of automations and notifications, beside those of `orchestration.errors`."""

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
    """Whoever made the automation may not do what it is to do, or not any more."""

    code = "author_refused"
    message = "Its author may not do that: {reason}"
