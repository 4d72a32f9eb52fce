"""Whether two systems really differ: paired tests, intervals and effect sizes over users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr

from crossmarket.errors import DataError, UsageError

Floats = NDArray[np.float64]

#: Differences are compared to this many decimals: metric values that are equal on paper may differ
#: in their last bits, and the signed-rank test would take such noise for a preference.
DECIMALS = 12

#: Users x resamples drawn in one go, which bounds the memory of the bootstrap.
BLOCK_DRAWS = 1 << 21


@dataclass(frozen=True, slots=True)
class Comparison:
    """One system against the reference, user by user; differences are system minus reference.

    Attributes
    ----------
    name : str
        The system.
    num_users : int
        Paired users.
    mean_difference : float
        Mean of the differences; above 0 where the system is better. NaN without users.
    low, high : float
        Percentile bootstrap interval of the mean difference; NaN with fewer than two users.
    p_value : float
        Two-sided paired t-test; 1 with fewer than two users or without any difference.
    p_holm : float
        `p_value` after Holm's correction over the systems of the same call.
    p_wilcoxon : float
        Two-sided Wilcoxon signed-rank test, users without difference left out; 1 as above, NaN if
        it was not asked for.
    effect_size : float
        Cohen's d_z, mean over standard deviation of the differences; 0 without any difference,
        infinite if all users differ by the same amount, NaN with fewer than two users.
    wins, ties, losses : int
        Users with whom the system does better than, as well as, worse than the reference.
    """

    name: str
    num_users: int
    mean_difference: float
    low: float
    high: float
    p_value: float
    p_holm: float
    p_wilcoxon: float
    effect_size: float
    wins: int
    ties: int
    losses: int


def compare_paired(
    reference: ArrayLike,
    others: Mapping[str, ArrayLike],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    signed_rank: bool = True,
) -> list[Comparison]:
    """Compare systems with a reference on the same users.

    The t-test decides (it keeps its level on per-user metric values and has the most power, see
    Urbano, Lima and Hanjalic, SIGIR 2019); the signed-rank test and the interval are there to
    confirm it. To correct over more than one call, say over markets x systems, give all their
    `p_value` to `holm`.

    Parameters
    ----------
    reference : float [n]
        Per-user values of the reference system.
    others : mapping of name to float [n]
        Per-user values of each other system, users in the same order.
    confidence : float
        Level of the bootstrap interval, between 0 and 1.
    resamples : int
        Bootstrap resamples of the users; all systems share them.
    seed : int
        Seed of the resampling.
    signed_rank : bool
        Whether to run the signed-rank test, which is slow where few users differ.

    Returns
    -------
    list of Comparison, in the order of `others`.

    Raises
    ------
    UsageError
        If the arrays differ in length or an option is out of range.
    DataError
        If a value is not finite.
    """
    if not 0 < confidence < 1 or resamples < 1:
        raise UsageError("a bootstrap interval needs 0 < confidence < 1 and at least 1 resample")
    base = _values("the reference", reference)
    if not others:
        return []
    differences = np.empty((len(others), len(base)))
    for row, (name, values) in zip(differences, others.items(), strict=True):
        compared = _values(f"system {name!r}", values)
        if len(compared) != len(base):
            raise UsageError(
                f"system {name!r} has values of {len(compared)} users, the reference of "
                f"{len(base)}; compare both on the same users"
            )
        row[:] = np.round(compared - base, DECIMALS)
    lows, highs = _bootstrap_intervals(differences, confidence, resamples, seed)
    tests = [_paired_t_test(row) for row in differences]
    adjusted = holm([p_value for _, p_value in tests])
    return [
        Comparison(
            name=name,
            num_users=len(row),
            mean_difference=float(row.mean()) if len(row) else float("nan"),
            low=float(lows[place]),
            high=float(highs[place]),
            p_value=tests[place][1],
            p_holm=float(adjusted[place]),
            p_wilcoxon=_wilcoxon(row) if signed_rank else float("nan"),
            effect_size=tests[place][0],
            **dict(zip(("wins", "ties", "losses"), counts(row), strict=True)),
        )
        for place, (name, row) in enumerate(zip(others, differences, strict=True))
    ]


def holm(p_values: Floats | Sequence[float] | Sequence[Sequence[float]]) -> Floats:
    """Holm's step-down correction over all p-values given, which form one family.

    Parameters
    ----------
    p_values : float, any shape
        For instance [systems], or [markets, systems] to correct over the whole table.

    Returns
    -------
    float64 array of the same shape: adjusted p-values, at most 1.

    Raises
    ------
    DataError
        If a value is not a probability.
    """
    family = np.asarray(p_values, dtype=np.float64)
    if not np.all((family >= 0) & (family <= 1)):
        raise DataError("a p-value must lie between 0 and 1; leave out what was not tested")
    # In numpy: statsmodels sweeps the memory of the whole process at every call.
    ordered = np.sort(family, axis=None) * np.arange(family.size, 0, -1)
    adjusted = np.empty(family.size)
    adjusted[np.argsort(family, axis=None)] = np.minimum(np.maximum.accumulate(ordered), 1)
    return adjusted.reshape(family.shape)


def macro_values(values: Floats, markets: NDArray[Any]) -> Floats:
    """Per-user values whose mean is the macro mean, for tests in which every market counts alike.

    Deviations from the market's mean are weighted by users / (markets x users of the market) and
    set around the macro mean, so that a bootstrap or t-test of the result keeps the number of
    users of each market, as a stratified one does. Differences of two such rows are those of the
    values' differences.

    Parameters
    ----------
    values : float64 [..., n]
        One value a user.
    markets : str [n]
        Market of each user.

    Returns
    -------
    float64 of the shape of `values`.
    """
    names, groups, sizes = np.unique(markets, return_inverse=True, return_counts=True)
    weights = values.shape[-1] / (len(names) * sizes[groups])
    means = np.stack(
        [values[..., groups == group].mean(axis=-1) for group in range(len(names))], -1
    )
    macro: Floats = means.mean(axis=-1, keepdims=True) + (values - means[..., groups]) * weights
    return macro


def counts(differences: Floats) -> tuple[int, int, int]:
    """Users who gain, stay level and lose, equal to `DECIMALS` decimals being level."""
    rounded = np.round(differences, DECIMALS)
    wins, losses = int(np.count_nonzero(rounded > 0)), int(np.count_nonzero(rounded < 0))
    return wins, len(rounded) - wins - losses, losses


def _values(owner: str, values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise UsageError(f"{owner} needs one value per user, not an array of shape {array.shape}")
    if not np.isfinite(array).all():
        raise DataError(f"{owner} has a value that is not finite; compare evaluated users only")
    return array


def _paired_t_test(differences: Floats) -> tuple[float, float]:
    """Cohen's d_z and the two-sided p-value of mean 0."""
    if len(differences) < 2:
        return float("nan"), 1.0
    mean = float(differences.mean())
    if np.ptp(differences) == 0:  # no spread: the usual formula would divide by 0
        return (0.0, 1.0) if mean == 0 else (float(np.copysign(np.inf, mean)), 0.0)
    effect_size = mean / float(differences.std(ddof=1))
    t = effect_size * np.sqrt(len(differences))
    return effect_size, float(2 * stdtr(len(differences) - 1, -abs(t)))


def _wilcoxon(differences: Floats) -> float:
    changed = differences[differences != 0]
    if len(differences) < 2 or len(changed) == 0:
        return 1.0
    from scipy.stats import wilcoxon  # noqa: PLC0415 - slow to import and seldom needed

    return float(wilcoxon(changed).pvalue)


def _bootstrap_intervals(
    differences: Floats, confidence: float, resamples: int, seed: int
) -> tuple[Floats, Floats]:
    """Percentile intervals of the mean of each row of `differences` [systems, users]."""
    num_systems, num_users = differences.shape
    if num_users < 2:
        unknown = np.full(num_systems, np.nan)
        return unknown, unknown
    rng = np.random.default_rng(seed)
    means = np.empty((resamples, num_systems))
    step = max(1, BLOCK_DRAWS // num_users)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = rng.integers(num_users, size=(size, num_users))
        drawn += num_users * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * num_users).reshape(size, num_users)
        means[start : start + size] = times.astype(np.float64) @ differences.T / num_users
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return low, high
