"""Find values that are more frequent among the chosen runs than among the others, beyond chance."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from runs.in_common.core.certainty import least_possible, p_value
from runs.in_common.core.dimensions import NOT_SET, PARAMETER, SIZE, TAG, SampledRun, parameters_of, values_of

# The chance of any finding at all if nothing makes a difference: one in a hundred.
CERTAINTY = 0.01
# Numbers with more distinct values than this are compared by ranges.
FEW_NUMBERS = 12
RANGES = 4
# A dimension with more distinct values than this is not compared.
MOST_VALUES = 200
MOST_DIMENSIONS = 400
# A dimension that is known for a smaller share of the runs than this is not compared.
KNOWN_ENOUGH = 0.5
FEWEST_RUNS = 3
# Two findings whose runs overlap by at least this share count as the same.
NEARLY_THE_SAME = 0.95
PLACES_KEPT = 50

# In these dimensions, absence counts as a value; in others it means that nothing was recorded.
MAY_BE_ABSENT = (PARAMETER, SIZE, TAG)


@dataclass(frozen=True, slots=True)
class Finding:
    """A value that is more frequent among the chosen runs, with its counts and a p-value.

    `p` is the chance of such a difference in any of the tested values, if nothing made a difference.
    """

    dimension: str
    value: str
    chosen_with: int
    chosen: int
    others_with: int
    others: int
    p: float
    # Another finding that holds for nearly the same runs.
    like: str = ""
    # Positions of the first chosen runs that have the value.
    places: Sequence[int] = ()

    @property
    def name(self) -> str:
        match self.value:
            case "yes":
                return self.dimension
            case "no":
                return f"without {self.dimension}"
        return f"{self.dimension} {self.value}"

    @property
    def chosen_share(self) -> float:
        return self.chosen_with / self.chosen if self.chosen else 0.0

    @property
    def others_share(self) -> float:
        return self.others_with / self.others if self.others else 0.0

    @property
    def lift(self) -> float | None:
        """How many times as frequent the value is; None if no other run has it."""
        return self.chosen_share / self.others_share if self.others_share else None

    @property
    def text(self) -> str:
        numbers = (
            f"{percent(self.chosen_share)} of the chosen runs ({self.chosen_with:,} of {self.chosen:,}), "
            f"{percent(self.others_share)} of the others ({self.others_with:,} of {self.others:,})"
        )
        return f"{self.name}: {numbers}"


@dataclass(frozen=True, slots=True)
class InCommon:
    """All findings, and the dimensions that could not be compared, with the reason."""

    chosen: int
    others: int
    findings: Sequence[Finding] = ()
    tested: int = 0
    not_compared: Sequence[str] = ()


def percent(share: float) -> str:
    """Return whole percents, but 0 % and 100 % only where that is exact."""
    number = round(100 * share)
    if (number == 0 and share > 0) or (number == 100 and share < 1):
        return f"{100 * share:.1f} %" if 0.0005 <= share <= 0.9995 else ("< 0.1 %" if share < 0.5 else "> 99.9 %")
    return f"{number} %"


def in_common(chosen: Sequence[SampledRun], others: Sequence[SampledRun]) -> InCommon:
    """Compare chosen runs with others, value by value."""
    if len(chosen) < FEWEST_RUNS or len(others) < FEWEST_RUNS:
        few = "chosen" if len(chosen) < FEWEST_RUNS else "other"
        which = f"There are too few {few} runs to compare: at least {FEWEST_RUNS} are needed."
        return InCommon(len(chosen), len(others), not_compared=[which])
    number = len(chosen)
    runs = _by_value([*chosen, *others])
    not_compared: list[str] = []
    candidates: list[_Candidate] = []
    for dimension, values in runs.items():
        of_chosen, of_others = _known(dimension, values, number, len(others))
        if min(of_chosen / number, of_others / len(others)) < KNOWN_ENOUGH:
            missing = number + len(others) - of_chosen - of_others
            not_compared.append(f"{dimension}: not recorded for {missing:,} of {number + len(others):,} runs")
        elif len(values) > MOST_VALUES:
            not_compared.append(f"{dimension}: {len(values):,} different values")
        elif len(values) > 1:
            candidates += [_Candidate(dimension, value, one, of_chosen, of_others) for value, one in values.items()]
    found, tested = _tested(candidates, number)
    return InCommon(number, len(others), _without_twins(found, number), tested, not_compared)


class _Others:
    """The positions of all runs except these. They are usually many, so they are computed only for a test."""

    def __init__(self, places: AbstractSet[int], number: int) -> None:
        self._places, self._number = places, number

    def __len__(self) -> int:
        return self._number - len(self._places)

    def __iter__(self) -> Iterator[int]:
        return iter(set(range(self._number)).difference(self._places))


_Places = list[int] | _Others


class _Candidate(NamedTuple):
    """A value that may be a finding, the positions of the runs that have it, and how many runs have a known value."""

    dimension: str
    value: str
    places: _Places
    of_chosen: int
    of_others: int


def _known(dimension: str, values: Mapping[str, _Places], chosen: int, others: int) -> tuple[int, int]:
    """Return for how many chosen runs and for how many others this dimension is known."""
    if dimension.startswith(MAY_BE_ABSENT):
        return chosen, others
    known = set[int]().union(*values.values())
    known_chosen = len(known.intersection(range(chosen)))
    return known_chosen, len(known) - known_chosen


def _by_value(runs: Sequence[SampledRun]) -> Mapping[str, Mapping[str, _Places]]:
    """Return the positions of the runs that have a value, by dimension and value."""
    texts, numbers = _texts_and_numbers(runs)
    for dimension, values in numbers.items():
        for text, places in _ranges(values).items():
            texts[dimension].setdefault(text, []).extend(places)
    for dimension in list(texts)[MOST_DIMENSIONS:]:
        del texts[dimension]
    for dimension, places_of in texts.items():
        if dimension.startswith(MAY_BE_ABSENT):
            absent = _Others(set().union(*places_of.values()), len(runs))
            if len(absent):
                places_of["no" if dimension.startswith(TAG) else NOT_SET] = absent
    return texts


def _texts_and_numbers(
    runs: Sequence[SampledRun],
) -> tuple[defaultdict[str, dict[str, Any]], defaultdict[str, dict[int, float]]]:
    """Return the positions by dimension and text, and the numbers by dimension and position."""
    texts: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    numbers: defaultdict[str, dict[int, float]] = defaultdict(dict)
    # Runs that were called with the same parameters share them.
    called_with: dict[int, list[tuple[str, str | float]]] = {}
    for place, run in enumerate(runs):
        for dimension, value in values_of(run):
            texts[dimension].setdefault(value, []).append(place)
        if (parameters := called_with.get(id(run.parameters))) is None:
            parameters = called_with[id(run.parameters)] = list(parameters_of(run.parameters))
        for dimension, one in parameters:
            if isinstance(one, float):
                numbers[dimension][place] = one
            elif (places := texts[dimension].setdefault(one, []))[-1:] != [place]:
                # Two parameters can have one name: `{"a.b": 1}` and `{"a": {"b": 1}}`.
                places.append(place)
    return texts, numbers


def _ranges(values: Mapping[int, float]) -> dict[str, list[int]]:
    """Return positions by number; if there are many numbers, by four ranges with about as many runs each."""
    distinct = sorted(set(values.values()))
    if len(distinct) <= FEW_NUMBERS:
        limits, words = distinct, [_number(one) for one in distinct]
    else:
        ordered = sorted(values.values())
        limits = sorted({ordered[len(ordered) * part // RANGES] for part in range(RANGES)})
        ends = [*limits[1:], None]
        words = [
            f"{_number(low)} or more" if high is None else f"from {_number(low)} to below {_number(high)}"
            for low, high in zip(limits, ends, strict=True)
        ]
    found: dict[str, list[int]] = {}
    for place, value in values.items():
        found.setdefault(words[bisect_right(limits, value) - 1], []).append(place)
    return found


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:.6g}"


def _tested(candidates: Iterable[_Candidate], number: int) -> tuple[list[tuple[Finding, AbstractSet[int]]], int]:
    """Test each value that could be a finding, and correct for the number of tests (Bonferroni, after Tarone)."""
    chances = [
        (least_possible(one.of_chosen, one.of_others, len(one.places)), one)
        for one in candidates
        if len(one.places) < one.of_chosen + one.of_others
    ]
    chances.sort(key=lambda pair: pair[0])
    # Tarone's correction: leave out values that could not become a finding even if that number of tests is counted.
    tested = len(chances)
    while tested and chances[tested - 1][0] * tested > CERTAINTY:
        tested -= 1
    found: list[tuple[Finding, AbstractSet[int]]] = []
    for _, (dimension, value, places, of_chosen, of_others) in chances[:tested]:
        with_it = sum(place < number for place in places)
        others_with = len(places) - with_it
        p = p_value(with_it, of_chosen, others_with, of_others) * tested
        if p < CERTAINTY:
            found.append((Finding(dimension, value, with_it, of_chosen, others_with, of_others, p), set(places)))
    found.sort(key=lambda pair: (pair[0].others_share - pair[0].chosen_share, pair[0].p, pair[0].name))
    return found, tested


def _without_twins(found: Sequence[tuple[Finding, AbstractSet[int]]], number: int) -> list[Finding]:
    """Add to each finding the one above it that holds for nearly the same runs, and the positions of its runs."""
    return [
        replace(
            one,
            like=next((other.name for other, theirs in found[:place] if _are_alike(places, theirs)), ""),
            places=sorted(at for at in places if at < number)[:PLACES_KEPT],
        )
        for place, (one, places) in enumerate(found)
    ]


def _are_alike(one: AbstractSet[int], other: AbstractSet[int]) -> bool:
    return len(one & other) >= NEARLY_THE_SAME * len(one | other)
