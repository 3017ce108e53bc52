"""Run times and lateness as SQL, in whole microseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import BigIntegerField, Case, DateTimeField, F, Func, Q, Value, When

from orionflow.contract.states import TERMINAL, in_order

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZERO = Value(0, output_field=BigIntegerField())


class MomentMicroseconds(Func):
    """A moment as microseconds since 1970."""

    output_field = BigIntegerField()
    arity = 1

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        # Django stores times as text in UTC, with a fraction of six digits or none. Cut off the fraction first: SQLite
        # would round it into the seconds. The expression occurs twice, which works because it is always a plain column
        # without parameters.
        template = (
            "(CAST(strftime('%%%%s', substr(%(expressions)s, 1, 19)) AS INTEGER) * 1000000 + "
            "CAST(substr(%(expressions)s, 21, 6) AS INTEGER))"
        )
        return super().as_sql(compiler, connection, template=template, **context)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        template = "CAST(EXTRACT(EPOCH FROM %(expressions)s) * 1000000 AS bigint)"
        return super().as_sql(compiler, connection, template=template, **context)


class PeriodMicroseconds(Func):
    """A period in microseconds."""

    output_field = BigIntegerField()
    arity = 1

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        return super().as_sql(compiler, connection, template="CAST(%(expressions)s AS INTEGER)", **context)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        template = "CAST(EXTRACT(EPOCH FROM %(expressions)s) * 1000000 AS bigint)"
        return super().as_sql(compiler, connection, template=template, **context)


class Between(Func):
    """The microseconds from the second moment to the first."""

    output_field = BigIntegerField()
    arity = 2

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        # Days as a float, exact to a millisecond; integer arithmetic on the texts takes three times as long.
        sql, params = self._difference("julianday(%s)", compiler)
        return f"(CAST(round(({sql}) * 86400000) AS INTEGER) * 1000)", params

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        sql, params = self._difference("%s", compiler)
        return f"CAST(EXTRACT(EPOCH FROM ({sql})) * 1000000 AS bigint)", params

    def _difference(self, moment: str, compiler: Any) -> tuple[str, list[Any]]:
        (later, later_params), (earlier, earlier_params) = map(compiler.compile, self.source_expressions)
        return f"{moment % later} - {moment % earlier}", [*later_params, *earlier_params]


def microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def run_time(now: datetime) -> Case:
    """Return an expression for the time that a run has spent running so far."""
    spent = PeriodMicroseconds(F("total_run_time"))
    return Case(
        When(state_type="RUNNING", state_timestamp__lt=now, then=spent + Between(_moment(now), F("state_timestamp"))),
        default=spent,
        output_field=BigIntegerField(),
    )


def lateness(now: datetime) -> Case:
    """Return an expression for how much later than expected a run started, or for how long it has been overdue."""
    expected = F("expected_start_time")
    return Case(
        When(start_time__gt=expected, then=Between(F("start_time"), expected)),
        When(start_time__isnull=False, then=ZERO),
        When(
            Q(expected_start_time__lt=now) & ~Q(state_type__in=in_order(TERMINAL)), then=Between(_moment(now), expected)
        ),
        default=ZERO,
        output_field=BigIntegerField(),
    )


def _moment(moment: datetime) -> Value:
    return Value(moment, output_field=DateTimeField())
