"""What can be wrong with requests about deployments, their parameters, schedules and calendars."""

from __future__ import annotations

from orchestration.errors.kinds import Conflict, DomainError, NotFound


class DeploymentNotFound(NotFound):
    code = "deployment_not_found"
    message = "Deployment {id} not found."


class ScheduleNotFound(NotFound):
    code = "schedule_not_found"
    message = "Schedule {id} not found."


class CalendarNotFound(NotFound):
    code = "calendar_not_found"
    message = "Calendar {name!r} not found."


class CalendarExists(Conflict):
    code = "calendar_exists"
    message = "There already is a calendar with the name {name!r}; change that one."


class CalendarInUse(Conflict):
    code = "calendar_in_use"
    message = "Calendar {name!r} is named by {schedules}; take it out of there first."


class ParametersMisfit(Conflict):
    code = "parameters_misfit"
    message = "The parameters do not fit the schema of deployment {name!r}: {reason}"


class JobVariablesMisfit(DomainError):
    code = "job_variables_misfit"
    message = "The job variables do not fit the template of work pool {pool!r}: {reason}"


class JobVariablesSettled(DomainError):
    code = "job_variables_settled"
    message = "Job variables of a run in state {state} cannot be changed; they are read when the run begins."


class SeveralSchedules(DomainError):
    """A call that means the one schedule of a deployment, which has more."""

    code = "several_schedules"
    message = (
        "Deployment {id} has several schedules, and this call means its only one. "
        "Change one of them by its id, or all of them with PATCH /deployments/{id} and paused."
    )


class BadSchedule(DomainError):
    code = "bad_schedule"
    message = "{reason}"


class BadCalendar(DomainError):
    code = "bad_calendar"
    message = "{reason}"


class BadParameterSchema(DomainError):
    code = "bad_parameter_schema"
    message = "parameter_openapi_schema is no JSON schema: {reason}"
