"""Check whether a deployment would be accepted, by creating it and rolling back."""

from __future__ import annotations

from django.utils import timezone

from deployments.definitions.api.deployments import asked_schedules, refuse_unseen
from deployments.definitions.api.runs import reporting_bad_templates
from deployments.definitions.api.schemas import columns_of
from deployments.definitions.services.deployments import check_deployment
from orchestration.api.errors import INTEGRITY, Refused
from orchestration.api.operations import Operation
from orchestration.errors import BlockDocumentNotFound, ParametersMisfit
from orion_site.accounts.permissions import Action
from orionflow.contract.deployments import DeploymentCheck


class CheckDeployment(Operation):
    """Check a deployment without creating it. Errors are those of creating it; its flow need not exist yet."""

    method = "POST"
    action_required = Action.CHANGE_DEPLOYMENTS
    by_sight = True
    answers = {204: None, 404: dict[str, str]}

    def perform(self, body: DeploymentCheck) -> None:
        refuse_unseen(flow__name=body.flow_name, name=body.name)
        now = timezone.now()
        try:
            with reporting_bad_templates():
                check_deployment(
                    flow_name=body.flow_name,
                    name=body.name,
                    columns=columns_of(body),
                    schedules=asked_schedules(body) or (),
                    pool_name=body.work_pool_name,
                    queue_name=body.work_queue_name,
                    now=now,
                )
        except BlockDocumentNotFound as error:
            raise Refused(f"{INTEGRITY} {error}", 409) from None
        except ParametersMisfit as error:
            raise Refused(str(error)) from None
