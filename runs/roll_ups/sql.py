"""The SQL of roll-ups: the numbers of a run, the triggers that record changes, and adding changes to totals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db import connection

from orchestration.tables import FLOW_RUNS, TASK_RUNS, Tables
from orionflow.contract.states import TERMINAL, in_order

DAY, HOUR, MINUTE = 1440, 60, 1
# The levels, and the number of characters of a minute's text that identify their period.
WIDTHS = {DAY: 10, HOUR: 13, MINUTE: 16}
SUMS = ("runs", "run_time", "lateness", "running_since", "waiting", "waiting_since")
_KEY = ("kind", "minute", "flow", "deployment", "state_type", "state_name")
CHANGE = ", ".join((*_KEY, *SUMS))
TOTAL_KEY = ("subject", "level", "bucket", "state_type", "state_name")
NUMBERS_OF_RUNS = ("runs", "waiting")
# The bound of sums of times, short of the end of a bigint. Beyond it are the lateness of 5,000 runs that were scheduled
# for 1970, and the times of 36,000 runs that wait for the year 9999. A total that reached its bound stays there until
# its last run has gone: how much it lacks is unknown. On PostgreSQL the triggers do not bound what they record, so that
# one statement fails if it alone moves 5,100 such runs of one minute, flow, deployment and state.
BOUND = 9 * 10**18
# Where no run is counted any more, whatever is left of the sums was cut off at the bound.
IS_NOTHING = "runs = 0"

_COUNTED = ("state_type", "state_name", "state_timestamp", "expected_start_time", "start_time", "total_run_time")
_PARENTS = ("flow_id", "deployment_id")


@dataclass(frozen=True, slots=True)
class _Expressions:
    """Expressions of one database, formatted with columns."""

    minute: str
    hex: str
    # Milliseconds since 1970.
    moment: str
    # Microseconds, as in histories (`runs.history.selectors.durations`).
    period: str
    between: str
    # A sum of whole numbers that is exact within the bound, and ends there.
    total: str
    # A sum that never fails, for readers: exact up to 2**53.
    rough_total: str
    # The sum of two numbers within the bound.
    sum_of_two: str


_SQLITE = _Expressions(
    minute="COALESCE(substr({0}, 1, 16), '')",
    hex="lower(hex({0}))",
    # The Julian day of 1970 is 2440587.5.
    moment="CAST(round((julianday({0}) - 2440587.5) * 86400000) AS INTEGER)",
    period="{0}",
    between="CAST(round((julianday({0}) - julianday({1})) * 86400000) AS INTEGER) * 1000",
    # SUM fails where an integer ends; upper and lower bits are summed up apart. What a trigger has added up beyond that
    # end is a REAL, which these operators read as the largest integer.
    total=f"CASE WHEN TOTAL({{0}}) >= {BOUND} THEN {BOUND} WHEN TOTAL({{0}}) <= -{BOUND} THEN -{BOUND} "
    "ELSE (SUM({0} >> 20) << 20) + SUM({0} & 1048575) END",
    rough_total="TOTAL({0})",
    sum_of_two=f"MIN(MAX({{0}} + {{1}}, -{BOUND}), {BOUND})",
)
_POSTGRESQL = _Expressions(
    minute="COALESCE(to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), '')",
    hex="COALESCE(replace({0}::text, '-', ''), '')",
    moment="CAST(EXTRACT(EPOCH FROM {0}) * 1000 AS bigint)",
    period="CAST(EXTRACT(EPOCH FROM {0}) * 1000000 AS bigint)",
    between="CAST(EXTRACT(EPOCH FROM ({0} - {1})) * 1000000 AS bigint)",
    # The sum of bigints is a numeric.
    total=f"LEAST(GREATEST(SUM({{0}}), -{BOUND}), {BOUND})",
    rough_total="SUM({0})",
    sum_of_two=f"LEAST(GREATEST({{0}}::numeric + {{1}}, -{BOUND}), {BOUND})",
)


def _expressions() -> _Expressions:
    return _SQLITE if connection.vendor == "sqlite" else _POSTGRESQL


# --- one run ---------------------------------------------------------------------------------------------------------


def _key_of(tables: Tables, run: str) -> list[str]:
    db = _expressions()
    parents = [db.hex.format(f"{run}.{name}") if tables is FLOW_RUNS else "''" for name in _PARENTS]
    minute = db.minute.format(f"{run}.expected_start_time")
    states = [f"COALESCE({run}.{name}, '')" for name in ("state_type", "state_name")]
    return [f"'{tables.kind}'", minute, *parents, *states]


def sums_of(run: str) -> list[str]:
    """Return the numbers of one run; a number that depends on a missing or malformed time is null."""
    db = _expressions()
    start, expected = f"{run}.start_time", f"{run}.expected_start_time"
    # One condition per type: for a longer IN list SQLite builds a table at every row.
    is_open = " AND ".join(f"{run}.state_type <> {one!r}" for one in in_order(TERMINAL))
    waits = f"{start} IS NULL AND {expected} IS NOT NULL AND {is_open}"
    return [
        "1",
        db.period.format(f"{run}.total_run_time"),
        f"CASE WHEN {start} > {expected} THEN {db.between.format(start, expected)} ELSE 0 END",
        f"CASE WHEN {run}.state_type = 'RUNNING' THEN {db.moment.format(f'{run}.state_timestamp')} ELSE 0 END",
        f"CASE WHEN {waits} THEN 1 ELSE 0 END",
        f"CASE WHEN {waits} THEN {db.moment.format(expected)} ELSE 0 END",
    ]


def _whole_sums_of(run: str) -> list[str]:
    # A missing or malformed time counts as zero: it must not prevent the run from being written.
    return [f"COALESCE({each}, 0)" for each in sums_of(run)]


def counted(tables: Tables, source: str, *, sign: str = "") -> str:
    """Return the SELECT that counts the runs of `source` as changes. It is a table named r, perhaps with WHERE."""
    key, sums = _key_of(tables, "r"), [f"{sign}SUM({each})" for each in _whole_sums_of("r")]
    return f"SELECT {_named(_KEY, key)}, {_named(SUMS, sums)} FROM {source} GROUP BY 1, 2, 3, 4, 5, 6"


def counted_within_bounds(tables: Tables, runs: str) -> str:
    """Return the SELECT that counts these runs (a table named r, perhaps with WHERE) as changes, with bounded sums."""
    return f"SELECT {', '.join(_KEY)}, {summed()} FROM ({_each_run(tables, runs)}) one GROUP BY {', '.join(_KEY)}"


def _each_run(tables: Tables, runs: str, sign: str = "") -> str:
    key, sums = _key_of(tables, "r"), [f"{sign}({each})" for each in _whole_sums_of("r")]
    return f"SELECT {_named(_KEY, key)}, {_named(SUMS, sums)} FROM {runs}"


def _named(names: tuple[str, ...], values: list[str]) -> str:
    return ", ".join(f"{value} AS {name}" for name, value in zip(names, values, strict=True))


def _values(tables: Tables, run: str, sign: str = "") -> str:
    return f"({', '.join([*_key_of(tables, run), *(f'{sign}({each})' for each in _whole_sums_of(run))])})"


# --- triggers --------------------------------------------------------------------------------------------------------


ONE_OF_EACH_KEY = "roll_up_change_of_each_key"


def triggers() -> Iterator[str]:
    """Yield the statements that create all triggers, and the index that SQLite's triggers need."""
    if connection.vendor == "sqlite":
        yield f"CREATE UNIQUE INDEX IF NOT EXISTS {ONE_OF_EACH_KEY} ON runs_rollupchange ({', '.join(_KEY)})"
    for tables in (FLOW_RUNS, TASK_RUNS):
        yield from triggers_of(tables)


def triggers_of(tables: Tables) -> Iterator[str]:
    """Yield the statements that create the triggers of one table."""
    yield from _sqlite_triggers(tables) if connection.vendor == "sqlite" else _postgresql_triggers(tables)


def trigger_names() -> dict[str, str]:
    """Return the names of the triggers, with their tables."""
    events = ("insert", "update", "delete")
    return {_name(tables, event): tables.runs for tables in (FLOW_RUNS, TASK_RUNS) for event in events}


def names() -> set[str]:
    """Return the names of all required objects: the triggers, and the index that SQLite's triggers need."""
    return {*trigger_names(), *({ONE_OF_EACH_KEY} if connection.vendor == "sqlite" else ())}


def _name(tables: Tables, event: str) -> str:
    return f"{tables.runs}_roll_up_{event}"


def _columns(tables: Tables) -> tuple[str, ...]:
    return (*_COUNTED, *_PARENTS) if tables is FLOW_RUNS else _COUNTED


def _sqlite_triggers(tables: Tables) -> Iterator[str]:
    """Yield triggers that keep one row of changes per key.

    With a single writer, no transaction waits for another's row.
    """
    new, old = _values(tables, "NEW"), _values(tables, "OLD", "-")
    key, more = ", ".join(_KEY), ", ".join(f"{name} = {name} + excluded.{name}" for name in SUMS)
    for event, when, values in (
        ("insert", "INSERT", new),
        ("update", f"UPDATE OF {', '.join(_columns(tables))}", f"{old}, {new}"),
        ("delete", "DELETE", old),
    ):
        yield (
            f"CREATE TRIGGER {_name(tables, event)} AFTER {when} ON {tables.runs} "
            f"BEGIN INSERT INTO runs_rollupchange ({CHANGE}) VALUES {values} "
            f"ON CONFLICT ({key}) DO UPDATE SET {more}; END"
        )


def _postgresql_triggers(tables: Tables) -> Iterator[str]:
    """Yield triggers that count by statement, with one change for equal runs; unchanged numbers are not recorded."""
    by_statement = "REFERENCING {} FOR EACH STATEMENT"
    for event, how, rows in (
        ("insert", "NEW TABLE AS counted_runs", counted(tables, "counted_runs r")),
        ("update", "OLD TABLE AS old_runs NEW TABLE AS new_runs", _moved(tables)),
        ("delete", "OLD TABLE AS counted_runs", counted(tables, "counted_runs r", sign="-")),
    ):
        name = _name(tables, event)
        yield (
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"INSERT INTO runs_rollupchange ({CHANGE}) {rows}; RETURN NULL; END $$"
        )
        yield (
            f"CREATE TRIGGER {name} AFTER {event.upper()} ON {tables.runs} {by_statement.format(how)} "
            f"EXECUTE FUNCTION {name}()"
        )


def _moved(tables: Tables) -> str:
    rows = [_each_run(tables, f"{source} r", sign) for source, sign in (("new_runs", ""), ("old_runs", "-"))]
    sums = [f"SUM({name})" for name in SUMS]
    return (
        f"SELECT {', '.join((*_KEY, *sums))} FROM ({' UNION ALL '.join(rows)}) moved GROUP BY {', '.join(_KEY)} "
        f"HAVING {' OR '.join(f'{each} <> 0' for each in sums)}"
    )


# --- totals ----------------------------------------------------------------------------------------------------------


def summed() -> str:
    """Return the sums of rows that have the columns of sums, as these columns."""
    db = _expressions()
    totals = [f"SUM({name})" if name in NUMBERS_OF_RUNS else db.total.format(name) for name in SUMS]
    return _named(SUMS, totals)


def roughly_summed(numbers: Sequence[str] = SUMS) -> str:
    """Return the sums of these numbers of runs, for readers: bounded by nothing, and perhaps floats."""
    db = _expressions()
    return ", ".join(db.rough_total.format(each) for each in numbers)


def _added(name: str) -> str:
    total, change = f"runs_rollup.{name}", f"excluded.{name}"
    if name in NUMBERS_OF_RUNS:
        return f"{total} + {change}"
    db = _expressions()
    within = f"{total} > -{BOUND} AND {total} < {BOUND}"
    return f"CASE WHEN {within} THEN {db.sum_of_two.format(total, change)} ELSE {total} END"


def spread(changes: str) -> str:
    """Return the SELECT that sums up changes (a query in parentheses, or a table) for each subject and level.

    For all runs of a kind there are minutes; for a flow or a deployment, hours and days.
    """
    levels = " UNION ALL ".join(f"SELECT {level} AS level, {width} AS width" for level, width in WIDTHS.items())
    return (
        f"SELECT subject, level, substr(minute, 1, width) AS bucket, state_type, state_name, {summed()} FROM ("
        f"SELECT kind AS subject, 1 AS least, c.* FROM {changes} c "
        f"UNION ALL SELECT flow, {HOUR}, c.* FROM {changes} c WHERE flow <> '' "
        f"UNION ALL SELECT deployment, {HOUR}, c.* FROM {changes} c WHERE deployment <> '') one "
        f"CROSS JOIN ({levels}) levels WHERE level >= least GROUP BY 1, 2, 3, 4, 5"
    )


def added_to_totals(changes: str) -> str:
    """Return the statement that adds changes to the totals, in the order of their keys, so that two of them cannot
    deadlock.
    """
    more = ", ".join(f"{name} = {_added(name)}" for name in SUMS)
    key = ", ".join(TOTAL_KEY)
    return (
        f"INSERT INTO runs_rollup ({key}, {', '.join(SUMS)}) {spread(changes)} ORDER BY 1, 2, 3, 4, 5 "
        f"ON CONFLICT ({key}) DO UPDATE SET {more}"
    )


def differences() -> str:
    """Return a query for the difference between roll-ups and counted runs.

    It returns rows only if the roll-ups are wrong. A sum that has reached its bound is compared with nothing.
    """
    key, sums = ", ".join(TOTAL_KEY), ", ".join(SUMS)
    less = ", ".join(f"-{name}" for name in SUMS)
    runs = " UNION ALL ".join(counted_within_bounds(tables, f"{tables.runs} r") for tables in (FLOW_RUNS, TASK_RUNS))
    return (
        # Materialized, because it is read three times: for the kind, the flow and the deployment.
        f"WITH counted_runs AS MATERIALIZED ({runs}) SELECT {key}, {sums} FROM (SELECT {key}, {_compared()} FROM ("
        f"SELECT {key}, {sums} FROM runs_rollup "
        f"UNION ALL SELECT {key}, {sums} FROM ({spread('runs_rollupchange')}) changed "
        f"UNION ALL SELECT {key}, {less} FROM ({spread('counted_runs')}) counted) compared "
        f"GROUP BY {key}) differences WHERE {' OR '.join(f'{name} <> 0' for name in SUMS)}"
    )


def _compared() -> str:
    db = _expressions()
    is_within = f"MIN({{0}}) > -{BOUND} AND MAX({{0}}) < {BOUND}"
    sum_within = f"CASE WHEN {is_within} THEN {db.total} ELSE 0 END"
    return _named(SUMS, [f"SUM({name})" if name in NUMBERS_OF_RUNS else sum_within.format(name) for name in SUMS])
