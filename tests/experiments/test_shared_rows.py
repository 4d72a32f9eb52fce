import polars as pl
import pytest

from crossmarket.experiments.shared_rows import has_values, read_values, write_values

KEYS = ("market", "user_id")


def table(values, users=("7", "007", "NA")):
    columns = {"market": ["uk"] * len(users), "user_id": list(users), "ndcg@10": values}
    return pl.DataFrame(columns)


def test_a_table_comes_back_whole(tmp_path):
    written = table([0.5, 0.0, 1.0])
    name = write_values(written, KEYS, tmp_path / "a.parquet", tmp_path / "rows")
    assert read_values(name, tmp_path / "a.parquet", tmp_path / "rows").equals(written)
    assert pl.read_parquet(tmp_path / "a.parquet").columns == ["ndcg@10"]


def test_equal_rows_are_kept_once_and_others_apart(tmp_path):
    names = [
        write_values(one, KEYS, tmp_path / f"{place}.parquet", tmp_path / "rows")
        for place, one in enumerate(
            [table([0.5, 0.0, 1.0]), table([0.1, 0.2, 0.3]), table([0.1], users=["7"])]
        )
    ]
    assert names[0] == names[1] != names[2]
    assert len(list((tmp_path / "rows").iterdir())) == 2


@pytest.mark.parametrize("missing", ["a.parquet", "rows"])
def test_a_table_without_one_of_its_parts_is_not_there(tmp_path, missing):
    file, rows = tmp_path / "a.parquet", tmp_path / "rows"
    name = write_values(table([0.5, 0.0, 1.0]), KEYS, file, rows)
    assert has_values(name, file, rows)
    assert not has_values(None, file, rows)
    (tmp_path / missing).rename(tmp_path / "elsewhere")
    assert not has_values(name, file, rows)
