"""How certain it is that a value is more frequent among chosen runs than among others: Fisher's exact test."""

from __future__ import annotations

from math import exp, lgamma


def p_value(chosen_with: int, chosen: int, others_with: int, others: int) -> float:
    """Return the chance that `chosen` random runs include at least `chosen_with` that have the value.

    This is the upper tail of the hypergeometric distribution. Each term follows from the previous one, so that only the
    first one needs logarithms.
    """
    with_it, everything = chosen_with + others_with, chosen + others
    most = min(chosen, with_it)
    if not 0 < chosen_with <= most or chosen_with * everything <= chosen * with_it:
        # Not more frequent than it would be by chance.
        return 1.0
    term = exp(
        _choices(with_it, chosen_with)
        + _choices(everything - with_it, chosen - chosen_with)
        - _choices(everything, chosen)
    )
    total = term
    for number in range(chosen_with, most):
        term *= (with_it - number) * (chosen - number)
        term /= (number + 1) * (everything - with_it - chosen + number + 1)
        total += term
        if term < total * 1e-16:
            break
    return min(total, 1.0)


def _choices(whole: int, part: int) -> float:
    """Return the logarithm of the number of ways to choose `part` of `whole`."""
    return lgamma(whole + 1) - lgamma(part + 1) - lgamma(whole - part + 1)


def least_possible(chosen: int, others: int, with_it: int) -> float:
    """Return the smallest p-value that a value of this frequency can have. If that is too high, no test is needed."""
    most = min(chosen, with_it)
    return p_value(most, chosen, with_it - most, others) if most else 1.0
