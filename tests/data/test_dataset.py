"""The data set: rows, catalogues, identity of users and items, immutability by replacement."""

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from tests.toys import dataset_of

from crossmarket.data.dataset import NO_TIME, SCHEMA, MarketDataset
from crossmarket.data.vocabulary import Vocabulary
from crossmarket.errors import DataError, UsageError

ROWS = [
    ("uk", "ann", "b", 2.0, 30),
    ("uk", "ann", "a", 5.0, 10),
    ("uk", "Bob", "c", 1.0, None),
    ("de", "ann", "b", 3.0, 20),
    ("de", "zoë", "d", 4.0, 40),
]


@pytest.fixture
def data():
    return dataset_of(ROWS)


def test_vocabularies_are_sorted_by_bytes_and_users_are_kept_apart(data):
    assert data.markets == ("de", "uk")
    assert data.items.ids.to_list() == ["a", "b", "c", "d"]
    assert data.users("uk").ids.to_list() == ["Bob", "ann"]
    assert data.users("de").ids.to_list() == ["ann", "zoë"]
    assert data.user_offsets == {"de": 0, "uk": 2}
    assert data.num_users == 4
    assert data.num_interactions == 5


def test_edges_are_in_canonical_order_with_weight_and_time(data):
    edges = data.edges("uk")
    assert edges.users.tolist() == [0, 1, 1]
    assert edges.items.tolist() == [2, 0, 1]
    assert edges.weights.tolist() == [1.0, 5.0, 2.0]
    assert edges.timestamps.tolist() == [NO_TIME, 10, 30]
    dtypes = [edges.users.dtype, edges.items.dtype, edges.weights.dtype, edges.timestamps.dtype]
    assert dtypes == [np.int32, np.int32, np.float32, np.int64]
    assert len(edges) == 3


def test_a_catalogue_is_what_the_market_sells(data):
    assert data.catalogue("uk").tolist() == [0, 1, 2]
    assert data.catalogue("de").tolist() == [1, 3]


def test_the_matrix_is_binary_over_all_items(data):
    matrix = data.matrix("uk")
    assert matrix.dtype == np.float32
    assert matrix.toarray().tolist() == [[0, 0, 1, 0], [1, 1, 0, 0]]


def test_times_are_known_or_not(data):
    assert not data.has_timestamps
    assert data.select_markets(["de"]).has_timestamps


def test_weight_and_time_may_be_missing():
    frame = pl.DataFrame({"market": ["uk"], "user_id": ["ann"], "item_id": ["a"]})
    edges = MarketDataset.from_frame(frame).edges("uk")
    assert edges.weights.tolist() == [1.0]
    assert edges.timestamps.tolist() == [NO_TIME]
    nulls = pl.DataFrame([("uk", "ann", "a", None, None)], schema=SCHEMA, orient="row")
    assert MarketDataset.from_frame(nulls).edges("uk").weights.tolist() == [1.0]


ids = st.text(min_size=1, max_size=3)


@settings(max_examples=50)
@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["de", "uk", "日本"]), ids, ids),
        st.tuples(st.floats(0.5, 5, width=32), st.none() | st.integers(-(2**40), 2**40)),
        min_size=1,
        max_size=12,
    ),
    st.randoms(use_true_random=False),
)
def test_a_table_survives_the_round_trip_in_any_order(rows, random):
    table = [(*key, *value) for key, value in rows.items()]
    frame = pl.DataFrame(table, schema=SCHEMA, orient="row")
    data = MarketDataset.from_frame(frame)
    back = data.to_frame()
    assert dict(back.schema) == SCHEMA
    keys = ["market", "user_id", "item_id"]
    assert back.sort(keys).equals(frame.sort(keys))
    random.shuffle(table)
    shuffled = MarketDataset.from_frame(pl.DataFrame(table, schema=SCHEMA, orient="row"))
    assert shuffled.fingerprint == data.fingerprint
    assert shuffled.to_frame().equals(back)


@pytest.mark.parametrize(
    "change",
    [
        ("uk", "ann", "b", 2.0, 31),
        ("uk", "ann", "b", 2.5, 30),
        ("uk", "ann", "c", 2.0, 30),
        ("uk", "cyd", "b", 2.0, 30),
        ("us", "ann", "b", 2.0, 30),
    ],
)
def test_any_change_gives_another_fingerprint(data, change):
    assert dataset_of([change, *ROWS[1:]]).fingerprint != data.fingerprint


def test_a_catalogue_is_part_of_the_fingerprint(data):
    users = {market: data.users(market) for market in data.markets}
    edges = {market: data.edges(market) for market in data.markets}
    own = {market: data.catalogue(market) for market in data.markets}
    assert MarketDataset(data.items, users, edges, own).fingerprint == data.fingerprint
    more = {**own, "de": np.array([1, 2, 3], dtype=np.int32)}
    assert MarketDataset(data.items, users, edges, more).fingerprint != data.fingerprint


def test_replacing_edges_leaves_the_original_and_all_rows_alone(data):
    before = data.to_frame()
    fewer = data.replace_edges({"uk": data.edges("uk").select(np.array([True, False, False]))})
    assert data.to_frame().equals(before)
    assert len(fewer.edges("uk")) == 1
    assert fewer.edges("de") is data.edges("de")
    assert fewer.items == data.items
    np.testing.assert_array_equal(fewer.catalogue("uk"), data.catalogue("uk"))


def test_selected_markets_keep_the_rows_of_items(data):
    alone = data.select_markets(["uk"])
    assert alone.markets == ("uk",)
    assert alone.items == data.items
    assert alone.matrix("uk").toarray().tolist() == data.matrix("uk").toarray().tolist()


def test_unsold_items_can_be_dropped(data):
    alone = data.select_markets(["de"]).drop_unsold_items()
    assert alone.items.ids.to_list() == ["b", "d"]
    assert alone.catalogue("de").tolist() == [0, 1]
    assert alone.to_frame().equals(data.to_frame().filter(pl.col("market") == "de"))


@pytest.mark.parametrize("call", ["users", "edges", "catalogue", "matrix", "require_market"])
def test_an_unknown_market_lists_the_known_ones(data, call):
    with pytest.raises(UsageError, match="no market 'fr' in these data; choose from: de, uk"):
        getattr(data, call)("fr")
    with pytest.raises(UsageError, match="'fr'"):
        data.select_markets(["uk", "fr"])


def test_nothing_and_doubles_are_refused():
    with pytest.raises(DataError, match="no interactions in these data"):
        MarketDataset.from_frame(pl.DataFrame(schema=SCHEMA))
    with pytest.raises(DataError, match=r"market 'uk' holds the same \(user, item\) pair twice"):
        dataset_of([*ROWS, ("uk", "ann", "a", 1.0, 99)])


def test_it_prints_its_size(data):
    assert repr(data) == "MarketDataset(2 markets, 5 interactions)"
    assert repr(data.items) == "Vocabulary(4 ids)"


# -- vocabulary -------------------------------------------------------------------------------


@given(st.lists(ids), st.lists(ids))
def test_rows_and_ids_are_inverse(known, asked):
    vocabulary = Vocabulary(known)
    names = vocabulary.ids.to_list()
    assert names == sorted(set(known), key=str.encode)
    assert len(vocabulary) == len(names)
    assert vocabulary.take(vocabulary.rows(names)) == names
    assert vocabulary.rows(asked).dtype == np.int32
    for name, row in zip(asked, vocabulary.rows(asked).tolist(), strict=True):
        assert (name in vocabulary) == (row >= 0) == (name in names)
        if row >= 0:
            assert names[row] == name


def test_ids_are_exact_text():
    vocabulary = Vocabulary(["007", "7", "NA", "null", "é", "e\u0301"])
    assert len(vocabulary) == 6
    assert vocabulary.rows(["7.0", "na"]).tolist() == [-1, -1]


def test_equal_vocabularies_are_equal():
    first, second = Vocabulary(["b", "a"]), Vocabulary(["a", "b", "b"])
    assert first == second
    assert hash(first) == hash(second)
    assert first != Vocabulary(["a"])
    assert first != ["a", "b"]
    assert hash(Vocabulary([])) == hash(Vocabulary([]))
