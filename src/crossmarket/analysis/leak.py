"""How much of a number is leak: the same systems, users and candidates, with and without it.

`dcmpt-leaky` plants the leak of a published code in `ratio-full` and changes nothing else, so the
difference between the two, user by user, is what the leak alone is worth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from crossmarket.analysis.base import Analysis, Setting
from crossmarket.analysis.pictures import FAINT, INK, colour_of, in_turn, new_figure
from crossmarket.evaluation.significance import compare_paired

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from crossmarket.evaluation.protocols import Protocol

METRIC = "ndcg@10"
#: Name of the rows over the users of all markets together.
ALL = "all"


def compute(setting: Setting) -> pl.DataFrame:
    """Gain from the leak in NDCG@10, by system and market, and over all users.

    Returns
    -------
    `market, system, users, honest, leaky, gain, low, high, p`: means over users (each user's mean
    over the seeds that test it), the mean difference with its bootstrap interval of 95 % and the
    p-value of a paired t-test.

    Raises
    ------
    UsageError
        If the setting's protocol is not the one that the leak is planted into.
    """
    setting.require_protocol("ratio-full")
    planted = setting.protocol.model_copy(update={"name": "dcmpt-leaky"})
    honest, leaky = (_per_user(setting, protocol) for protocol in (setting.protocol, planted))
    keys = ["market", "user_id", "system"]
    both = honest.join(leaky, on=keys, suffix="_leaky", validate="1:1").sort(keys)
    rows = []
    for market in (ALL, *setting.markets):
        for system in setting.systems:
            own = both.filter(pl.col("system") == system.title)
            own = own if market == ALL else own.filter(pl.col("market") == market)
            before, after = own[METRIC].to_numpy(), own[f"{METRIC}_leaky"].to_numpy()
            (found,) = compare_paired(before, {system.title: after})
            rows.append(
                {
                    "market": market,
                    "system": system.title,
                    "users": own.height,
                    "honest": float(before.mean()),
                    "leaky": float(after.mean()),
                    "gain": found.mean_difference,
                    "low": found.low,
                    "high": found.high,
                    "p": found.p_value,
                }
            )
    return pl.DataFrame(rows)


def _per_user(setting: Setting, protocol: Protocol) -> pl.DataFrame:
    _, per_user = setting.comparison(protocol=protocol).run()
    return per_user.group_by("market", "user_id", "system").agg(pl.col(METRIC).mean())


def draw(table: pl.DataFrame) -> Figure:
    """One panel a market: for each system a line from its honest to its leaky value."""
    markets = in_turn(table, "market")
    systems = in_turn(table, "system")
    columns = min(len(markets), 4)
    rows = -(-len(markets) // columns)
    size = (2.6 * columns + 2.0, (0.3 * len(systems) + 1.0) * rows + 0.9)
    figure, axes = new_figure(*size, rows, columns, sharey=True)
    for market, one in zip(markets, axes, strict=False):
        _draw_market(one, table.filter(pl.col("market") == market), systems)
        one.set_title("all users" if market == ALL else market, loc="left", weight="bold")
    for one in axes[len(markets) :]:
        one.set_visible(False)
    figure.suptitle(
        "What a leak is worth: NDCG@10 without it (hollow) and with it (full)",
        x=0.01,
        ha="left",
        fontsize=13,
        weight="bold",
    )
    figure.supxlabel(
        "NDCG@10; bars at the full dots are 95 % intervals of the gain over users", fontsize=9
    )
    return figure


def _draw_market(axes: Axes, rows: pl.DataFrame, systems: list[str]) -> None:
    colours = colour_of(systems)
    for row in rows.iter_rows(named=True):
        place = systems.index(row["system"])
        colour = colours[row["system"]]
        axes.plot([row["honest"], row["leaky"]], [place, place], color=FAINT, linewidth=1.2)
        spread = [[row["gain"] - row["low"]], [row["high"] - row["gain"]]]
        axes.errorbar(row["leaky"], place, xerr=spread, color=INK, linewidth=1.0, capsize=2)
        axes.plot(row["honest"], place, "o", markerfacecolor="white", color=colour)
        axes.plot(row["leaky"], place, "o", color=colour)
    axes.set_yticks(range(len(systems)), systems)
    axes.set_ylim(len(systems) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.margins(x=0.08)


ANALYSIS = Analysis(
    name="leak",
    summary="How much of a number is leak: the same users ranked with and without the leak.",
    source="ours",
    compute=compute,
    draw=draw,
    systems=(
        "Popularity",
        "Item kNN",
        "EASE^R merged",
        "LightGCN merged",
        "DCMPT without prompt",
        "DCMPT",
        "NMF++",
        "FOREC",
    ),
)
