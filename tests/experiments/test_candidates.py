import polars as pl
import pytest
from tests.small import markets, result_of

from crossmarket.errors import DataError
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.candidates import candidate_table, keep_candidates


@pytest.fixture(scope="module")
def data():
    return result_of(markets())


def test_the_table_holds_what_is_ranked_beside_the_held_out_items(data):
    protocol = Protocol(name="forec")
    split = protocol.split(data, 0)
    table = candidate_table(protocol, split)
    assert table.columns == ["market", "user_id", "item_id"]
    assert table.n_unique() == table.height
    for market in split.test.markets:
        drawn = protocol.negatives(split, market)
        own = table.filter(market=market)
        assert own.height == drawn.nnz > 0
        users = split.test.users(market).rows(own["user_id"])
        items = split.test.items.rows(own["item_id"])
        assert (drawn.toarray()[users, items] == 1).all()


def test_candidates_are_written_once_and_compared_later(data, tmp_path):
    protocol, file = Protocol(name="forec"), tmp_path / "candidates.parquet"
    keep_candidates(protocol, protocol.split(data, 0), file)
    before = file.read_bytes()
    keep_candidates(protocol, protocol.split(data, 0), file)
    assert file.read_bytes() == before
    table = candidate_table(protocol, protocol.split(data, 0))
    assert pl.read_parquet(file).equals(table)
    table.head(table.height - 1).write_parquet(file)
    with pytest.raises(DataError, match="other candidates than forec draws"):
        keep_candidates(protocol, protocol.split(data, 0), file)


def test_nothing_is_written_where_the_whole_catalogue_is_ranked(data, tmp_path):
    protocol = Protocol()
    keep_candidates(protocol, protocol.split(data, 0), tmp_path / "candidates.parquet")
    assert not list(tmp_path.iterdir())
