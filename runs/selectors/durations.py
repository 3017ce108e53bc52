"""Run times and lateness as SQL, in whole microseconds, which both databases add up without loss."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import BigIntegerField, Case, F, Func, Q, Value, When
from django.db.models.functions import Greatest

from orchestration.core.states import TERMINAL

FINAL = [state_type.value for state_type in TERMINAL]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZERO = Value(0, output_field=BigIntegerField())


class MomentMicroseconds(Func):
    """A moment as microseconds since 1970."""

    output_field = BigIntegerField()
    arity = 1

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        # Django stores moments as text in UTC, with a fraction of six digits or none.
        # The fraction is cut off first, or SQLite would round it into the seconds. The expression stands here twice:
        # it is always a plain column, without parameters.
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


def microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def run_time(now: datetime) -> Case:
    """The time spent running so far."""
    spent = PeriodMicroseconds(F("total_run_time"))
    since = Value(microseconds(now), output_field=BigIntegerField()) - MomentMicroseconds(F("state_timestamp"))
    return Case(
        When(state_type="RUNNING", state_timestamp__lt=now, then=spent + since),
        default=spent,
        output_field=BigIntegerField(),
    )


def lateness(now: datetime) -> Case:
    """How much later than expected a run started, or how long it is overdue."""
    expected = MomentMicroseconds(F("expected_start_time"))
    overdue = Value(microseconds(now), output_field=BigIntegerField()) - expected
    return Case(
        When(expected_start_time__isnull=True, then=ZERO),
        When(start_time__isnull=False, then=Greatest(MomentMicroseconds(F("start_time")) - expected, ZERO)),
        When(~Q(state_type__in=FINAL) | Q(state_type__isnull=True), then=Greatest(overdue, ZERO)),
        default=ZERO,
        output_field=BigIntegerField(),
    )
