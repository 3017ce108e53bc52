"""Whether the runs that a deployment's schedules plan can run: asked when either of them changes."""

from __future__ import annotations

from deployments.definitions.services.runs import refuse_misfits
from deployments.dispatch.services.reconciling import Changes, Plans

# What a run's parameters are held to.
OF_PARAMETERS = ("parameters", "parameter_openapi_schema", "enforce_parameter_schema")


def refuse_unready(before: Plans, after: Plans, changes: Changes) -> None:
    """Raises ParametersMisfit where a schedule would plan runs without what their schema wants of them."""
    deployment = after.deployment
    if not deployment.enforce_parameter_schema:
        return
    all_anew = any(getattr(before.deployment, name) != getattr(deployment, name) for name in OF_PARAMETERS)
    held = [pk for pk in after.schedules if after.planned(pk)]
    checked: list[object] = []
    for pk in held if all_anew else changes.started | changes.other_parameters:
        _, parameters = after.parameters_of(after.schedules[pk])
        if parameters not in checked:
            refuse_misfits(deployment.name, parameters, deployment.parameter_openapi_schema)
            checked.append(parameters)
