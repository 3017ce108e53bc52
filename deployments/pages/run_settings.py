"""The settings of one run besides its parameters, as its form shows them and as a copied run had them.

Where and how code is executed (work queue, job variables, infrastructure) needs a right of its own. Without it, the
form has no such fields, and says what of a copied run is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django.http import QueryDict
from pydantic import ValidationError

from deployments.definitions.services.runs import RunOptions, inherited_run
from deployments.models import Deployment
from orchestration.json_texts import NUL, read_json
from orion_site.accounts.permissions import WHERE_AND_HOW
from orion_site.forms.masked import with_secrets_back
from orionflow.contract.runs import FlowRunPolicyIn
from runs.limiting_users import limits_of
from runs.models import FlowRun

LONGEST_QUEUE = 255
# The other fields of retries. Overlap and crash retries follow the deployment, and the rest is kept by the rules.
KEPT_POLICY = ("retry_backoff_factor", "retry_delay_max", "retry_jitter_factor")


@dataclass(slots=True)
class RunSettings:
    """The texts of the fields, their errors by name, and what has no field."""

    may_customise: bool
    work_queue: str = ""
    job_variables: str = ""
    retries: str = ""
    retry_delay: str = ""
    # Several delays, one for each retry, have no field: they are copied unless one is written.
    retry_delays: Sequence[float] = ()
    has_copied_retries: bool = False
    context: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    infrastructure_document_id: UUID | None = None
    limits: Sequence[int] = ()
    left_out: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether the form shows these fields unfolded."""
        filled = (self.work_queue, self.job_variables, self.retries, self.retry_delay, self.retry_delays)
        return bool(self.errors or any(filled))


def settings_of(copied: FlowRun | None, deployment: Deployment, *, may_customise: bool) -> RunSettings:
    """Return the settings of a copied run that differ from those of the deployment."""
    found = RunSettings(may_customise)
    if copied is None:
        return found
    inherited = inherited_run(deployment)
    policy = {
        name: value for name, value in copied.empirical_policy.items() if inherited.empirical_policy.get(name) != value
    }
    found.context = copied.context
    found.policy = {name: policy[name] for name in KEPT_POLICY if policy.get(name) is not None}
    found.retries = _text(policy.get("retries") or policy.get("max_retries"))
    delay = policy.get("retry_delay") or policy.get("retry_delay_seconds")
    found.retry_delay = _text(delay)
    if isinstance(delay, list):
        found.retry_delays = found.policy["retry_delay"] = delay
    # A run that has begun has those of its flow, too.
    found.has_copied_retries = bool(found.retries or found.retry_delay or found.retry_delays)
    queue = ""
    # Its queue is in the pool of its own deployment.
    if copied.deployment_id == deployment.pk and copied.work_queue_id != inherited.work_queue_id:
        queue = copied.work_queue_name or ""
    infrastructure = copied.infrastructure_document_id
    if infrastructure == inherited.infrastructure_document_id:
        infrastructure = None
    if may_customise:
        found.work_queue, found.infrastructure_document_id = queue, infrastructure
        found.job_variables = json.dumps(copied.job_variables, indent=2, ensure_ascii=False)
        found.job_variables = found.job_variables if copied.job_variables else ""
        # Who set the job variables of that run also limits a run that has them from it.
        found.limits = limits_of(copied.limited_by, copied.job_variables, copied.created_by)
    else:
        named = {"job variables": copied.job_variables, "work queue": queue, "infrastructure": infrastructure}
        found.left_out = [words for words, value in named.items() if value]
    return found


def _text(value: Any) -> str:
    if not isinstance(value, int | float) or not value:
        return ""
    return str(int(value)) if isinstance(value, int) or value.is_integer() else repr(value)


def read_settings(found: RunSettings, sent: QueryDict) -> bool:
    """Read the fields of the form. Return whether stars would replace secrets of the job variables."""
    is_starred = with_secrets_back(sent, "job_variables", found.job_variables)
    for name in ("work_queue", "job_variables", "retries", "retry_delay"):
        # A program may leave out what it does not change.
        text = sent.get(name, getattr(found, name)).strip()
        setattr(found, name, text)
        if "\x00" in text:
            found.errors[name] = NUL
        elif text and name in ("work_queue", "job_variables") and not found.may_customise:
            found.errors[name] = f"Your role does not allow this: {WHERE_AND_HOW}."
    if len(found.work_queue) > LONGEST_QUEUE:
        found.errors["work_queue"] = f"The name has more than {LONGEST_QUEUE} characters."
    return is_starred


def with_settings(options: RunOptions, found: RunSettings) -> RunOptions:
    """Add the settings to a run. What cannot be read is an error of its field."""
    return replace(
        options,
        context=found.context,
        work_queue_name=found.work_queue or None,
        job_variables=_variables(found),
        empirical_policy={**found.policy, **_retries(found)},
        infrastructure_document_id=found.infrastructure_document_id,
        copied_limits=found.limits,
    )


def _variables(found: RunSettings) -> dict[str, Any]:
    try:
        value = read_json(found.job_variables or "{}")
    except ValueError as error:
        found.errors.setdefault("job_variables", str(error))
        return {}
    if not isinstance(value, dict):
        found.errors.setdefault("job_variables", "Write a JSON object: { … }.")
        return {}
    return value


def _retries(found: RunSettings) -> Mapping[str, Any]:
    given = {name: getattr(found, name) for name in ("retries", "retry_delay") if getattr(found, name)}
    try:
        return FlowRunPolicyIn.model_validate_strings(given).model_dump(mode="json", exclude_none=True)
    except ValidationError as error:
        for one in error.errors():
            name = str(one["loc"][0])
            found.errors.setdefault(
                name, "Write a whole number." if name == "retries" else "Write a number of seconds."
            )
        return {}
