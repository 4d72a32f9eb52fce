"""What ACMR's last layer reads in histories that share three items (ACMR, Fig. 5).

The paper shows four users of different markets whose histories share a triple of items. Here the
triple is chosen by a rule: the one that histories of most markets contain, then of most users;
and of each market the user with the shortest such history. Each is asked about the item that the
system recommends first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossmarket.analysis.base import Analysis, Setting
from crossmarket.analysis.fitted import fit_system
from crossmarket.analysis.panels import add_legend
from crossmarket.analysis.pictures import COLOURS, new_figure
from crossmarket.analysis.progress import tracked
from crossmarket.analysis.triples import shared_triple
from crossmarket.errors import UsageError
from crossmarket.models.acmr.model import ACMR

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SCHEMA = {
    "seed": pl.Int64,
    "market": pl.String,
    "user_id": pl.String,
    "row": pl.Int64,
    "column": pl.Int64,
    "reader": pl.String,
    "read": pl.String,
    "role": pl.String,
    "weight": pl.Float64,
}


def compute(setting: Setting) -> pl.DataFrame:
    """`seed, market, user_id, row, column, reader, read, role, weight`, for the first seed.

    A row for each pair of tokens of a user: how much `reader` reads `read`, mean over the heads of
    the last layer. `role` is that of the item read: `shared` for the triple, `candidate` for the
    item asked about (the last token), else `own`.

    Raises
    ------
    UsageError
        If the system is not ACMR.
    DataError
        If no three items are together in histories of two markets.
    """
    (system, *others) = setting.systems
    if others or system.model != ACMR.name:
        raise UsageError("attention looks at one system, and that must be acmr")
    seed = setting.seeds[0]
    split = setting.protocol.split(setting.data, seed)
    triple, users = shared_triple(split.train, setting.markets)
    items, memory, tables = split.train.items, {}, []  # type: ignore[var-annotated]
    steps = [(f"{system.title}, seed {seed}, {market}", market) for market in users]
    for market in tracked(setting, steps):
        model = fit_system(setting, system, split, market, memory)
        assert isinstance(model, ACMR)
        (name,) = split.train.users(market).take(np.array([users[market]]))
        candidate = model.recommend([name], k=1)["item_id"].to_list()
        tokens, weights = model.attention(users[market], int(items.rows(candidate)[0]))
        names = list(items.take(tokens))
        roles = ["shared" if token in triple else "own" for token in tokens[:-1].tolist()]
        roles.append("candidate")
        rows = [
            (seed, market, name, row, column, names[row], names[column], roles[column], weight)
            for row, line in enumerate(weights.tolist())
            for column, weight in enumerate(line)
        ]
        tables.append(pl.DataFrame(rows, schema=_SCHEMA, orient="row"))
    return pl.concat(tables)


def draw(table: pl.DataFrame) -> Figure:
    """One heat map a user, as multiples of an even share, so that lengths do not matter."""
    from matplotlib.colors import TwoSlopeNorm  # noqa: PLC0415
    from matplotlib.lines import Line2D  # noqa: PLC0415

    users = table.select("market", "user_id").unique(maintain_order=True).rows()
    columns = min(len(users), 4)
    rows = -(-len(users) // columns)
    figure, axes = new_figure(3.6 * columns + 0.9, 4.2 * rows + 0.8, rows, columns)
    shares = [_shares(table, *user) for user in users]
    norm = TwoSlopeNorm(1.0, 0.0, max(2.0, *(float(own.max()) for own, _ in shares)))
    for (market, user), (weights, tokens), one in zip(users, shares, axes, strict=False):
        image = one.imshow(weights, cmap="PuOr_r", norm=norm)
        names = [_short(str(name)) for name in tokens["read"]]
        one.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
        one.set_yticks(range(len(names)), names, fontsize=7)
        for labels in (one.get_xticklabels(), one.get_yticklabels()):
            for label, role in zip(labels, tokens["role"], strict=True):
                label.set_color(_ROLES[role])
                label.set_fontweight("normal" if role == "own" else "bold")
        one.grid(visible=False)
        one.set_title(f"{market}: user {_short(str(user))}", loc="left", weight="bold", fontsize=10)
    for one in axes[len(users) :]:
        one.set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.7, pad=0.01)
    bar.set_label("attention, times an even share", fontsize=9)
    figure.supxlabel("is read", fontsize=10)
    figure.supylabel("reads", fontsize=10)
    style: dict[str, Any] = {"linestyle": "", "marker": "s", "markersize": 7}
    handles = [Line2D([], [], color=_ROLES[role], **style) for role in ("shared", "candidate")]
    heading = "What ACMR's last layer reads, mean over its heads"
    add_legend(figure, heading, handles, ["items that all these users have", "item asked about"])
    return figure


def _shares(
    table: pl.DataFrame, market: str, user: str
) -> tuple[NDArray[np.float64], pl.DataFrame]:
    """Attention of a user times the number of tokens, and the rows of its first token."""
    own = table.filter(pl.col("market") == market, pl.col("user_id") == user)
    tokens = own.filter(pl.col("row") == 0).sort("column")
    weights = own.sort("row", "column")["weight"].to_numpy()
    return weights.reshape(len(tokens), len(tokens)) * len(tokens), tokens


_ROLES = {"own": "#22313f", "shared": COLOURS[0], "candidate": COLOURS[1]}


def _short(name: str) -> str:
    """Keep a long id readable."""
    return name if len(name) <= 12 else f"{name[:11]}…"


ANALYSIS = Analysis(
    name="attention",
    summary="Attention of ACMR in histories of several markets that share three items.",
    source="ACMR, Fig. 5",
    compute=compute,
    draw=draw,
    systems=("ACMR",),
    protocol="acmr-market",
)
