"""Means, spreads, ranks and paired tests of every system in every column."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import rankdata

from crossmarket.evaluation.significance import (
    Comparison,
    compare_paired,
    counts,
    holm,
    macro_values,
)
from crossmarket.experiments.leaderboard.board import LEVEL, MACRO, Cell, Standing, Versus

#: Resamples of a bootstrap interval.
RESAMPLES = 2000


class Standings:
    """Everything that can be said about one metric under one protocol.

    Tests are paired over users, each user's mean over the seeds that both systems were measured
    with. A market's users weigh alike; in the macro column every market counts alike, see
    `macro_values`, and the mean difference is the difference of the two macro means. P-values are
    Holm-corrected over the systems in the macro column, and over systems x markets in the others.

    Parameters
    ----------
    per_user : polars.DataFrame
        `system, seed, market, user_id` and the metric.
    metric : str
        Column to look at.
    markets : sequence of str
        In the order of the table.
    reference : str
        The system that the others are tested against.
    """

    def __init__(
        self, per_user: pl.DataFrame, metric: str, markets: Sequence[str], reference: str
    ) -> None:
        self.markets, self.reference = tuple(markets), reference
        values = per_user.select("system", "seed", "market", "user_id", value=metric)
        seeds = values.select("system", "seed").unique().sort("system", "seed")
        self.seeds: dict[str, tuple[int, ...]] = {
            title: tuple(own["seed"]) for (title,), own in seeds.group_by("system")
        }
        self.means = self._means(values)
        #: A row a user, a column a run; null where the run did not measure the user.
        self._runs = (
            values.with_columns(run=pl.format("{}, seed {}", "system", "seed"))
            .pivot(on="run", index=["market", "user_id"], values="value")
            .sort("market", "user_id")
        )

    def _means(self, values: pl.DataFrame) -> dict[str, dict[str, tuple[float, float | None]]]:
        """Mean over seeds and deviation between them, `[system][column]`."""
        one_seed = values.group_by("system", "market", "seed").agg(pl.col("value").mean())
        found = {row[:3]: row[3] for row in one_seed.iter_rows()}
        means = {}
        for title, seeds in sorted(self.seeds.items()):
            table = np.array([[found[title, m, seed] for m in self.markets] for seed in seeds])
            columns = [table.mean(axis=1), *table.T]
            means[title] = {
                name: (float(v.mean()), float(v.std(ddof=1)) if len(v) > 1 else None)
                for name, v in zip((MACRO, *self.markets), columns, strict=True)
            }
        return means

    def ranks(self) -> dict[str, float]:
        """Mean rank over the markets of each system, 1 is best."""
        titles = list(self.means)
        table = [[-self.means[title][market][0] for market in self.markets] for title in titles]
        ranks = np.mean([rankdata(column) for column in np.array(table).T], axis=0)
        return dict(zip(titles, ranks.tolist(), strict=True))

    def cells(self) -> dict[str, dict[str, Cell]]:
        """Every cell, `[system][column]`."""
        columns = (MACRO, *self.markets)
        titles = list(self.means)
        best = {}
        for name in columns:
            means = [self.means[title][name][0] for title in titles]
            best[name] = titles[means.index(max(means))]
        against = self._tests(dict.fromkeys(columns, self.reference), RESAMPLES)
        behind = self._tests(best, resamples=1)

        def standing(title: str, name: str) -> Standing:
            if self.means[title][name][0] == self.means[best[name]][name][0]:
                return "best"
            test = behind.get((title, name))
            return "level" if test is not None and test.p_holm >= LEVEL else "behind"

        return {
            title: {
                name: Cell(*own[name], standing(title, name), against.get((title, name)))
                for name in columns
            }
            for title, own in self.means.items()
        }

    def _tests(self, opponents: Mapping[str, str], resamples: int) -> dict[tuple[str, str], Versus]:
        """Every system against the opponent of a column, corrected over macro and over the rest."""
        found: dict[tuple[str, str], Comparison] = {}
        for name, opponent in opponents.items():
            for seeds, titles in self._groups(opponent):
                markets, plain = self._paired(name, seeds, [opponent, *titles])
                tested = macro_values(plain, markets) if name == MACRO else plain
                values = dict(zip(titles, tested[1:], strict=True))
                options: dict[str, Any] = {"resamples": resamples, "signed_rank": False}
                tests = compare_paired(tested[0], values, **options)
                for test, own in zip(tests, plain[1:], strict=True):
                    wins, ties, losses = counts(own - plain[0])
                    found[test.name, name] = replace(test, wins=wins, ties=ties, losses=losses)
        corrected: dict[tuple[str, str], Versus] = {}
        for family in ([k for k in found if k[1] == MACRO], [k for k in found if k[1] != MACRO]):
            adjusted = holm([found[key].p_value for key in family])
            for key, p_holm in zip(family, adjusted.tolist(), strict=True):
                corrected[key] = _versus(found[key], p_holm)
        return corrected

    def _groups(self, opponent: str) -> Iterator[tuple[tuple[int, ...], list[str]]]:
        """Systems that share the same seeds with the opponent, group by group."""
        groups: dict[tuple[int, ...], list[str]] = {}
        for title, own in self.seeds.items():
            shared = tuple(seed for seed in own if seed in self.seeds[opponent])
            if title != opponent and shared:
                groups.setdefault(shared, []).append(title)
        yield from sorted((seeds, sorted(titles)) for seeds, titles in groups.items())

    def _paired(
        self, column: str, seeds: Sequence[int], titles: Sequence[str]
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Market of every user of a column, and the users' means over `seeds` [titles, users]."""
        users = self._runs if column == MACRO else self._runs.filter(pl.col("market") == column)
        means = users.select(
            pl.mean_horizontal(f"{title}, seed {seed}" for seed in seeds).alias(title)
            for title in titles
        )
        there = means.select(~pl.all_horizontal(pl.all().is_null())).to_series()
        return users["market"].filter(there).to_numpy(), means.filter(there).to_numpy().T


def _versus(test: Comparison, p_holm: float) -> Versus:
    def finite(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return Versus(
        difference=test.mean_difference,
        low=finite(test.low),
        high=finite(test.high),
        p_holm=p_holm,
        effect_size=finite(test.effect_size),
        wins=test.wins,
        ties=test.ties,
        losses=test.losses,
    )
