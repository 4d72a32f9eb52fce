"""Artifacts to explore: markets with prompts, titles and metrics, items of any ids."""

import numpy as np
from tests.artifact.making import write_files

from crossmarket.artifact.forms import VectorForm
from crossmarket.artifact.forms.vectors import Prompts
from crossmarket.data.vocabulary import Vocabulary
from crossmarket.packaging.writing import MarketSource, make_backbone, make_market, sorted_pairs

WIDTH, PROMPTS, USERS = 4, 5, 6
ITEMS = [f"item-{number:02}" for number in range(30)]
METRICS = {
    "protocol": "ratio-full",
    "seed": 3,
    "metrics": {"ndcg@10": 0.25, "hit@10": 0.5, "popularity@10": None, "users": 6},
}


def source_of(market, items, *, users=(), catalogue=None, metrics=None, titles=None):
    """A market that sells the items of some rows, all by default, with vectors of its name."""
    draw = np.random.default_rng(list(market.encode()))
    vocabulary = Vocabulary(items)
    names = Vocabulary(users or [f"{market}-{number}" for number in range(USERS)])
    rows = np.arange(len(vocabulary)) if catalogue is None else np.array(catalogue)
    rows = rows.astype(np.int32)

    def normal(*shape):
        return draw.normal(size=shape).astype(np.float32)

    basis = normal(PROMPTS, WIDTH)
    mixtures = [0.1 * normal(size, PROMPTS) for size in (len(names), len(rows), len(rows))]
    vectors = [normal(len(mixture), WIDTH) + mixture @ basis for mixture in mixtures]
    form = VectorForm(
        vectors[0],
        vectors[1],
        rows,
        vectors[2],
        prompts=Prompts(basis, *mixtures),
        strategy_name="prompted",
    )
    taken = [np.sort(draw.choice(len(rows), 4, replace=False)) for _ in range(len(names))]
    owners = np.repeat(np.arange(len(names)), 4)
    pairs = sorted_pairs(owners, np.concatenate(taken))
    learned = np.ones(len(owners), dtype=bool)
    return MarketSource(
        market, names, rows, pairs, learned, form, {}, False, metrics, dict(titles or {})
    )


def write(folder, items, sources):
    """An artifact of such markets."""
    forms = {source.name: source.form for source in sources}
    files, backbone = make_backbone("by-hand", {}, Vocabulary(items), forms)
    made = {source.name: make_market(source, backbone) for source in sources}
    return write_files(folder, files, made)


def write_usual(folder):
    """Three markets; one was evaluated, also alone, one has titles."""
    measured = {**METRICS, "alone": {"ndcg@10": 0.2, "hit@10": 0.75}}
    titles = {"item-03": "Kettle", "item-04": "Cup & saucer"}
    return write(
        folder,
        ITEMS,
        [
            source_of("de", ITEMS, metrics=METRICS),
            source_of("mx", ITEMS, catalogue=range(4, 20)),
            source_of("uk", ITEMS, catalogue=range(25), metrics=measured, titles=titles),
        ],
    )
