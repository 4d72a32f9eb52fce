"""The triple that histories share, and the weights of the users who have it."""

from itertools import combinations

import numpy as np
import pytest
from tests.analysis.tiny import EASE, acmr, setting
from tests.small import markets
from tests.toys import dataset_of

from crossmarket.analysis import triples
from crossmarket.analysis.attention import compute
from crossmarket.analysis.fitted import fit_system
from crossmarket.analysis.triples import shared_triple
from crossmarket.errors import DataError, UsageError


def by_hand(data, names, longest):
    """All triples with the users of each market who have them."""
    found = {}
    for market in names:
        for user, row in enumerate(data.matrix(market).toarray()):
            items = np.flatnonzero(row).tolist()
            if len(items) <= longest:
                for triple in combinations(items, 3):
                    found.setdefault(triple, {}).setdefault(market, []).append((len(items), user))
    return found


@pytest.mark.parametrize("longest", [20, 8, 7])
@pytest.mark.parametrize("names", [("de", "mx", "uk"), ("uk", "mx")])
def test_the_triple_is_in_most_markets_then_of_most_users(monkeypatch, longest, names):
    monkeypatch.setattr(triples, "MAX_HISTORY", longest)
    data = markets()
    found = by_hand(data, names, longest)
    order = {
        triple: (-len(users), -sum(map(len, users.values())), triple)
        for triple, users in found.items()
    }
    best = min(order, key=order.get)
    triple, users = shared_triple(data, names)
    assert triple == frozenset(best)
    assert users == {name: min(found[best][name])[1] for name in names if name in found[best]}


def test_without_a_common_triple_it_says_so():
    rows = [("aa", "u", item) for item in "abc"] + [("bb", "v", item) for item in "abx"]
    with pytest.raises(DataError, match="no three items are together"):
        shared_triple(dataset_of(rows), ("aa", "bb"))


def test_weights_are_the_model_s_and_roles_are_named(tmp_path):
    chosen = setting(tmp_path, acmr(), protocol="acmr-market", names=("de", "mx", "uk"))
    table = compute(chosen)
    split = chosen.protocol.split(chosen.data, 0)
    triple, users = shared_triple(split.train, chosen.markets)
    shared = set(split.train.items.take(np.array(sorted(triple))))
    assert table["market"].unique(maintain_order=True).to_list() == list(users)
    for market, user in users.items():
        own = table.filter(market=market)
        model = fit_system(chosen, chosen.systems[0], split, market)
        candidate = own.filter(role="candidate")["read"].unique().to_list()
        assert candidate == model.recommend([own["user_id"][0]], k=1)["item_id"].to_list()
        tokens, weights = model.attention(user, int(split.train.items.rows(candidate)[0]))
        size = len(tokens)
        assert size == split.train.matrix(market)[[user]].nnz + 1
        np.testing.assert_allclose(own["weight"].to_numpy().reshape(size, size), weights, rtol=1e-6)
        np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
        assert own["read"].to_list()[:size] == list(split.train.items.take(tokens))
        assert own["reader"].to_list()[::size] == list(split.train.items.take(tokens))
        assert set(own.filter(role="shared")["read"]) == shared
        assert own.filter(column=size - 1)["role"].unique().to_list() == ["candidate"]


def test_only_acmr_has_it(tmp_path):
    for systems in ((EASE,), (acmr(), EASE)):
        with pytest.raises(UsageError, match="must be acmr"):
            compute(setting(tmp_path, *systems))
