"""Maps of item vectors: where the items of each market lie, and how far markets are apart.

The papers draw t-SNE (DCMPT) and UMAP (ACMR). Both are t-SNE here: umap-learn would cost another
213 MB and 64 s of compilation at first use for the same message. A map is a picture; what it is
meant to show is measured by the silhouette of the markets, on the vectors themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from crossmarket.analysis.base import Setting
from crossmarket.analysis.fitted import fit_system
from crossmarket.analysis.panels import add_legend, panels
from crossmarket.analysis.pictures import colour_of, in_turn
from crossmarket.analysis.progress import tracked
from crossmarket.data.dataset import MarketDataset
from crossmarket.data.splits import Split
from crossmarket.errors import DataError, UsageError
from crossmarket.experiments.systems import SystemConfig
from crossmarket.models.arrays import FloatMatrix, Rows
from crossmarket.models.base import Recommender

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Most points of a map.
MAX_POINTS = 2000
_PERPLEXITY = 30.0


@runtime_checkable
class HasItemVectors(Protocol):
    """A fitted system with a vector for each item of its target."""

    def item_vectors(self, items: Rows) -> FloatMatrix:
        """Vectors of item rows [n], float32 [n, d]."""


def map_table(
    setting: Setting,
    views: Mapping[str, SystemConfig],
    *,
    least_markets: int = 1,
    max_points: int = MAX_POINTS,
) -> pl.DataFrame:
    """Maps of the same items as several systems see them.

    Parameters
    ----------
    views : mapping of name to SystemConfig
        One map each; its system is fitted for every market.
    least_markets : int
        Show only items that at least so many of the setting's markets sell.
    max_points : int
        Draw so many (item, market) pairs at random where there are more.

    Returns
    -------
    `view, seed, market, item_id, x, y, silhouette`; a row for each point, and the silhouette by
    market of the whole view.
    """
    tables = []
    for seed in setting.seeds:
        split = setting.protocol.split(setting.data, seed)
        points = sample_points(split.train, setting.markets, least_markets, max_points, seed)
        memory: dict[str, Any] = {}
        for view, system in views.items():
            vectors, names, items = _vectors_of(setting, system, split, points, memory)
            places = t_sne(vectors, seed, setting.threads)
            columns = {
                "view": [view] * len(names),
                "seed": [seed] * len(names),
                "market": names,
                "item_id": split.train.items.take(items),
                "x": places[:, 0].astype(np.float64),
                "y": places[:, 1].astype(np.float64),
                "silhouette": [silhouette(vectors, names)] * len(names),
            }
            tables.append(pl.DataFrame(columns, schema_overrides={"item_id": pl.String}))
    order = pl.col("view").cast(pl.Enum(list(views)))
    return pl.concat(tables).sort(order, "seed", maintain_order=True)


def sample_points(
    train: MarketDataset, markets: Sequence[str], least_markets: int, count: int, seed: int
) -> dict[str, NDArray[np.int32]]:
    """Draw (item, market) pairs from what the markets sell.

    Returns
    -------
    dict of market to sorted item rows.

    Raises
    ------
    DataError
        If fewer than two markets sell such an item.
    """
    sellers = np.zeros(len(train.items), dtype=np.int64)
    for market in markets:
        sellers[train.catalogue(market)] += 1
    parts = [rows[sellers[rows] >= least_markets] for rows in map(train.catalogue, markets)]
    rows = np.concatenate(parts)
    owner = np.repeat(np.arange(len(markets)), [len(part) for part in parts])
    if len(rows) > count:
        kept = np.sort(np.random.default_rng(seed).choice(len(rows), size=count, replace=False))
        rows, owner = rows[kept], owner[kept]
    drawn = {market: rows[owner == place] for place, market in enumerate(markets)}
    if sum(len(own) > 0 for own in drawn.values()) < 2:
        raise DataError(
            f"a map needs items of at least two markets, sold in {least_markets} or more; "
            "choose more markets"
        )
    return drawn


def _vectors_of(
    setting: Setting,
    system: SystemConfig,
    split: Split,
    points: Mapping[str, NDArray[np.int32]],
    memory: dict[str, Any],
) -> tuple[NDArray[np.float32], list[str], NDArray[np.int32]]:
    """Vectors, markets and item rows of all points."""
    parts, names = [], []
    steps = [(f"{system.title}, seed {split.seed}, {market}", market) for market in points]
    for market in tracked(setting, steps):
        model = fit_system(setting, system, split, market, memory)
        parts.append(_require_vectors(model).item_vectors(points[market]))
        names += [market] * len(points[market])
    return np.concatenate(parts), names, np.concatenate(list(points.values()))


def _require_vectors(model: Recommender) -> HasItemVectors:
    if not isinstance(model, HasItemVectors):
        raise UsageError(f"{model.name} has no item vectors; choose dcmpt, lightgcn or acmr")
    return model


def t_sne(vectors: NDArray[np.float32], seed: int, threads: int) -> NDArray[np.float32]:
    """Places in the plane, float32 [n, 2]; started from principal components, so repeatable."""
    from sklearn.manifold import TSNE  # noqa: PLC0415 - slow to import

    perplexity = min(_PERPLEXITY, (len(vectors) - 1) / 3)
    method = TSNE(2, perplexity=perplexity, init="pca", random_state=seed, n_jobs=threads)
    # Its gradient takes every core whatever `n_jobs` says, which on a busy machine is far slower.
    with threadpool_limits(threads):
        placed: NDArray[np.float32] = method.fit_transform(vectors)
    return placed


def silhouette(vectors: NDArray[np.float32], names: Sequence[str]) -> float:
    """How much nearer a point is to its own market than to the next, mean over points, -1 to 1."""
    from sklearn.metrics import silhouette_score  # noqa: PLC0415

    return float(silhouette_score(vectors, np.array(names)))


def draw_maps(table: pl.DataFrame, heading: str) -> Figure:
    """One panel a view, one colour a market; the points are those of the first seed."""
    views = in_turn(table, "view")
    markets = in_turn(table, "market")
    colours = colour_of(markets)
    figure, axes = panels(views, heading=heading, x_label="", value_label="")
    figure.set_size_inches(max(4.0 * len(views), 8.0), 5.2)
    first = table.filter(pl.col("seed") == table["seed"][0])
    for view, one in zip(views, axes, strict=True):
        # In a random but fixed order, so that no market lies on top of all others.
        shown = first.filter(pl.col("view") == view).sample(fraction=1.0, shuffle=True, seed=0)
        one.scatter(
            shown["x"].to_numpy(),
            shown["y"].to_numpy(),
            c=[colours[market] for market in shown["market"]],
            s=9,
            alpha=0.75,
            linewidths=0,
        )
        one.set_aspect("equal", adjustable="datalim")
        one.set_xticks([])
        one.set_yticks([])
        one.set_xlabel(f"silhouette by market {_spread(table, view)}")
    from matplotlib.lines import Line2D  # noqa: PLC0415

    style: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 6}
    handles = [Line2D([], [], color=colours[market], **style) for market in markets]
    add_legend(figure, heading, handles, markets)
    return figure


def _spread(table: pl.DataFrame, view: str) -> str:
    """Mean of a view's silhouette over seeds; with its standard deviation if there are several."""
    own = table.filter(pl.col("view") == view).group_by("seed").agg(pl.first("silhouette"))
    values = own["silhouette"].to_numpy()
    text = f"{values.mean():.3f}"
    return text + (f" ± {values.std(ddof=1):.3f} ({len(values)} seeds)" if len(values) > 1 else "")
