"""How much of its own data a market needs (FOREC, Fig. 5b)."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import polars as pl
from pydantic import Field

from crossmarket.analysis.base import Analysis, Setting, in_order
from crossmarket.analysis.means import group_means
from crossmarket.analysis.panels import lines
from crossmarket.analysis.progress import tracked
from crossmarket.analysis.sources import restricted
from crossmarket.data.changed_splits import thin_users
from crossmarket.data.splits import Split
from crossmarket.errors import UsageError
from crossmarket.evaluation.protocols import Protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Shares of a user's training interactions; the paper's code divides by these whole numbers.
SHARES = tuple(Fraction(1, part) for part in (10, 5, 4, 3, 2, 1))
#: Target and source of the paper.
PAPER_PAIR = ("ca", "uk")


class ThinnedProtocol(Protocol):
    """A protocol under which each user of the target keeps a share of the training interactions.

    Test users, candidates and masks are those of the whole split, whatever the share.
    """

    share: float = Field(1.0, gt=0, le=1)

    @property
    def label(self) -> str:
        """Name with every option that is not the default."""
        return super().label + ("" if self.share == 1 else f", share={self.share:.4g}")

    def for_target(self, split: Split, target: str) -> Split:
        """The split that a model for `target` learns from."""
        return thin_users(super().for_target(split, target), target, self.share)


def choose_pair(setting: Setting) -> tuple[str, str]:
    """Target and source: the two markets chosen, else the paper's, else the two largest.

    Raises
    ------
    UsageError
        If the setting has a single market.
    """
    markets, data = setting.markets, setting.data.dataset
    if len(markets) < 2:
        raise UsageError("target-size needs two markets, the target and a source, such as ca,uk")
    if len(markets) == 2:
        return markets[0], markets[1]
    if set(PAPER_PAIR) <= set(markets):
        return PAPER_PAIR
    ranked = sorted(markets, key=lambda market: (-len(data.edges(market)), market))
    return ranked[0], ranked[1]


def compute(setting: Setting) -> pl.DataFrame:
    """NDCG@10 of one target: `target, source, system, share, seed, interactions, ndcg`.

    Every user of the target keeps the share of the training interactions, and at least one;
    smaller shares are subsets of larger ones. `interactions` is what is left in the target. The
    source is whole, and so are the data that choose the epochs.
    """
    target, source = choose_pair(setting)
    pair = restricted(setting, target, source)
    steps = [(f"{target} with {share} of each user's training data", share) for share in SHARES]
    frames = []
    for share in tracked(setting, steps):
        protocol = ThinnedProtocol(**setting.protocol.model_dump(), share=float(share))
        comparison = pair.comparison(protocol=protocol, markets=[target])
        _, per_user = comparison.run()
        left = {
            seed: len(
                protocol.for_target(protocol.split(pair.data, seed), target).train.edges(target)
            )
            for seed in setting.seeds
        }
        frames.append(
            group_means(per_user, "system", "seed").with_columns(
                pl.lit(target).alias("target"),
                pl.lit(source).alias("source"),
                pl.lit(float(share)).alias("share"),
                pl.col("seed").replace_strict(left, return_dtype=pl.Int64).alias("interactions"),
            )
        )
    table = in_order(pl.concat(frames), setting, "system", "share", "seed")
    return table.select("target", "source", "system", "share", "seed", "interactions", "ndcg")


def draw(table: pl.DataFrame) -> Figure:
    """A line for each system over the share that users keep."""
    target, source = table["target"][0], table["source"][0]
    percent = (100 * pl.col("share")).round(0).cast(pl.Int64)
    size = pl.col("interactions").mean().over("share").round(0).cast(pl.Int64)
    return lines(
        table.with_columns(
            pl.format("{} %\n({})", percent, size).alias("text"), pl.lit("").alias("panel")
        ),
        panel="panel",
        x="share",
        series="system",
        value="ndcg",
        heading=f"Less data in {target}, with {source} as the source",
        x_label="share of each user's training interactions (interactions left), logarithmic",
        value_label="NDCG@10",
        ticks="text",
        log=True,
    )


ANALYSIS = Analysis(
    name="target-size",
    summary="NDCG@10 when each user of the target keeps a share of the training interactions.",
    source="FOREC, Fig. 5b",
    compute=compute,
    draw=draw,
    systems=("NMF", "NMF++", "MAML", "FOREC"),
    protocol="forec",
)
