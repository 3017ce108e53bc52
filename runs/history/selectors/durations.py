"""Bins, run times and lateness as SQL; periods in whole microseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import BigIntegerField, Case, DateTimeField, Expression, F, Field, Func, Q, Sum, Value, When

from orionflow.contract.states import TERMINAL, in_order

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
# A float, exact for 285 years: EXTRACT returns a numeric, which takes several times as long to multiply and to convert.
_MICROSECONDS = "CAST(date_part('epoch', {}) * 1000000 AS bigint)"
ZERO = Value(0, output_field=BigIntegerField())


class BinOf(Func):
    """The bin of a moment, of bins of equal length since some moment: see `number_of_bin`."""

    # Of no type, so that Django returns it as it is.
    output_field: Field[Any, Any] = Field()

    def __init__(self, moment: Expression | F, start: datetime, step: timedelta, **extra: Any) -> None:
        super().__init__(moment, **extra)
        self._start, self._step = start, step

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        # Django stores times as text in UTC, with a fraction of six digits or none. Cut off the fraction first: SQLite
        # would round it into the seconds. The expression occurs twice, which works because it is always a plain column
        # without parameters.
        template = (
            "((CAST(strftime('%%%%s', substr(%(expressions)s, 1, 19)) AS INTEGER) * 1000000 + "
            f"CAST(substr(%(expressions)s, 21, 6) AS INTEGER) - {microseconds(self._start)}) "
            f"/ {self._step // MICROSECOND})"
        )
        return super().as_sql(compiler, connection, template=template, **context)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        # Takes half of the time of converting each moment to a number.
        moment, params = compiler.compile(self.source_expressions[0])
        return f"date_bin(%s::interval, {moment}, %s::timestamptz)", [self._step, *params, self._start]


def number_of_bin(found: int | datetime, start: datetime, step: timedelta) -> int:
    """Return the number of a bin that the database found. PostgreSQL returns the moment when it begins."""
    return (found - start) // step if isinstance(found, datetime) else found


class PeriodMicroseconds(Func):
    """A period in microseconds."""

    output_field = BigIntegerField()
    arity = 1

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        return super().as_sql(compiler, connection, template="CAST(%(expressions)s AS INTEGER)", **context)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        return super().as_sql(compiler, connection, template=_MICROSECONDS.format("%(expressions)s"), **context)


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
        return _MICROSECONDS.format(f"({sql})"), params

    def _difference(self, moment: str, compiler: Any) -> tuple[str, list[Any]]:
        (later, later_params), (earlier, earlier_params) = map(compiler.compile, self.source_expressions)
        return f"{moment % later} - {moment % earlier}", [*later_params, *earlier_params]


class SumOfPeriods(Sum):
    """The sum of microseconds. SQLite adds them up as floats: its SUM fails where an integer ends, at 292,000 years."""

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        return super().as_sql(compiler, connection, function="TOTAL", **context)


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
