"""What can be wrong with what events are asked. Classes as in `orchestration.errors`, which is their root.

NotFound: PolicyNotFound, AutomationNotFound
DomainError: BadMessageTemplate, BadAutomation, NothingToActOn
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


class BadAutomation(DomainError):
    code = "bad_automation"
    message = "{reason}"


class NothingToActOn(DomainError):
    code = "nothing_to_act_on"
    message = "The event names no {kind} that the action {action!r} could act on."
