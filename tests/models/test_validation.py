"""What early stopping looks at."""

import numpy as np
import pytest
from tests.toys import tiny_config

from crossmarket.graph.bipartite import map_domains, map_nodes
from crossmarket.metrics.ranking import ranking_metrics
from crossmarket.models.tables import TableConfig, initial_table
from crossmarket.models.validation import Validation, vector_scores

MERGED = ("aa", "bb", "cc")


def vectors_of(nodes, seed):
    return initial_table(nodes, TableConfig(**tiny_config(TableConfig)), seed)


@pytest.mark.parametrize("markets", [("bb",), MERGED])
def test_validation_is_the_mean_over_markets_of_the_mean_over_users(split, markets):
    nodes = map_nodes(split.train, markets)
    vectors = vectors_of(nodes, 5)
    means = []
    for market in markets:
        train, valid = split.train.matrix(market).toarray(), split.valid.matrix(market).toarray()
        users = np.flatnonzero((valid.sum(axis=1) > 0) & (train.sum(axis=1) > 0))
        catalogue = split.train.catalogue(market)
        own = vectors[nodes.user_nodes(market, users)].numpy()
        scores = own @ vectors[nodes.item_nodes(catalogue)].numpy().T
        scores[train[users][:, catalogue] > 0] = -np.inf
        rows, columns = np.nonzero(valid[users][:, catalogue])
        means.append(ranking_metrics(scores, rows, columns, ["ndcg@10"])["ndcg@10"].mean())
    measured = Validation(split.train, split.valid, markets).evaluate(vector_scores(nodes, vectors))
    assert measured == {"ndcg@10": pytest.approx(np.mean(means), rel=1e-6)}
    newcomer = split.train.users("bb").rows(["newcomer"])[0]
    assert split.valid.matrix("bb").toarray()[newcomer].any()  # and yet it did not count


def test_nothing_held_out_validates_nothing(split):
    empty = split.refit().valid
    nodes = map_nodes(split.train, MERGED)
    vectors = vectors_of(nodes, 0)
    assert Validation(split.train, empty, MERGED).evaluate(vector_scores(nodes, vectors)) == {}


def test_validation_may_look_at_fewer_users(split):
    nodes = map_nodes(split.train, MERGED)
    seen = []

    def score(market, users, items):
        seen.append((market, len(users)))
        return np.zeros((len(users), len(items)), dtype=np.float32)

    Validation(split.train, split.valid, MERGED, max_users=5).evaluate(score)
    assert seen == [("aa", 5), ("bb", 5), ("cc", 5)]
    again = [
        Validation(split.train, split.valid, MERGED, max_users=5).evaluate(
            vector_scores(nodes, vectors_of(nodes, 2))
        )
        for _ in range(2)
    ]
    assert again[0] == again[1]


def test_vectors_are_scored_by_the_nodes_of_their_market(split):
    """Item nodes of its own for each market: the scores are those of one table after another."""
    nodes = map_domains(split.train, [[market] for market in MERGED])
    vectors = vectors_of(nodes, 2)
    score = vector_scores(nodes, vectors)
    for market in MERGED:
        users, items = np.arange(4), split.train.catalogue(market)
        own = vectors[nodes.user_nodes(market, users)]
        sold = vectors[nodes.item_nodes(items, market)]
        np.testing.assert_allclose(score(market, users, items), own @ sold.T, rtol=1e-5, atol=1e-7)
