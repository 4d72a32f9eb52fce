import math
import re
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from tests.realdata import shared_data

from crossmarket.data.dataset import MarketDataset
from crossmarket.data.describe import describe, draw, tables
from crossmarket.data.readers import read_data
from crossmarket.errors import UsageError


def dataset(rows):
    columns = ["market", "user_id", "item_id", "timestamp"]
    return MarketDataset.from_frame(pl.DataFrame(rows, schema=columns, orient="row"))


@pytest.fixture
def description():
    return describe(
        dataset(
            [
                ("de", "a", "x", None),
                ("fr", "a", "x", 86_400 * 365),
                ("fr", "a", "y", 0),
                ("fr", "b", "x", None),
                ("jp", "a", "z", -1),
            ]
        )
    )


def test_statistics_of_a_market(description):
    fr = description.statistics["fr"]
    assert (fr.users, fr.items, fr.interactions) == (2, 2, 3)
    assert (fr.density, fr.interactions_per_user, fr.shared_items) == (0.75, 1.5, 0.5)
    assert (fr.first_day, fr.last_day) == ("1970-01-01", "1971-01-01")
    de = description.statistics["de"]
    assert (de.first_day, de.last_day, de.shared_items) == (None, None, 1.0)
    assert description.statistics["jp"].first_day == "1969-12-31"


def test_matrices(description):
    assert description.markets == ("de", "fr", "jp")
    assert description.num_items == 3
    assert description.overlap.tolist() == [[1, 1, 0], [1, 2, 0], [0, 0, 1]]
    assert description.jaccard.tolist() == [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]]
    expected = 2 / math.sqrt(5)
    np.testing.assert_allclose(
        description.cosine, [[1, expected, 0], [expected, 1, 0], [0, 0, 1]], rtol=1e-12
    )


def test_a_market_without_interactions():
    whole = dataset([("de", "a", "x", None), ("fr", "a", "x", None)])
    empty = whole.replace_edges({"fr": whole.edges("fr").select(np.array([False]))})
    result = describe(empty)
    assert result.statistics["fr"].density == 0
    assert result.cosine[0, 1] == 0


def test_xmarket_matrices_agree_with_sets():
    data = read_data(shared_data("xmarket")).dataset
    result = describe(data)
    sold = {market: set(data.catalogue(market).tolist()) for market in data.markets}
    for row, one in enumerate(data.markets):
        rest = set().union(*(sold[market] for market in data.markets if market != one))
        assert result.statistics[one].shared_items == len(sold[one] & rest) / len(sold[one])
        for column, other in enumerate(data.markets):
            assert result.overlap[row, column] == len(sold[one] & sold[other])
            share = len(sold[one] & sold[other]) / len(sold[one] | sold[other])
            assert result.jaccard[row, column] == pytest.approx(share, rel=1e-12)
    assert np.array_equal(result.cosine, result.cosine.T)


def test_to_dict_is_json_able(description):
    facts = description.to_dict()
    assert facts["markets"]["fr"]["users"] == 2
    assert facts["overlap"][1] == [1, 2, 0]
    assert type(facts["jaccard"][0][0]) is float


def test_tables_fit_a_terminal(description):
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    for table in tables(description):
        console.print(table)
    console.file.close()
    text = console.export_text()
    assert re.search(r"fr +2 +2 +3 +75\.000% +1\.5 +50% +1970-01 to 1971-01", text)
    assert re.search(r"de +1\.00 +0\.89 +0\.00", text)


@pytest.mark.parametrize("suffix", [".svg", ".png", ".SVG"])
def test_drawings_are_the_same_bytes_each_time(description, tmp_path, suffix):
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    draw(description, first)
    draw(description, second)
    content = first.read_bytes()
    assert content == second.read_bytes()
    assert content.startswith(b"\x89PNG" if suffix == ".png" else b"<?xml")
    assert b"<dc:date>" not in content


def test_drawing_one_market(tmp_path):
    draw(describe(dataset([("de", "a", "x", None)])), tmp_path / "one.png")
    assert (tmp_path / "one.png").stat().st_size > 1000


def test_other_suffixes_are_refused(description, tmp_path):
    with pytest.raises(UsageError, match=r"end the name in \.svg or \.png"):
        draw(description, tmp_path / "a.pdf")


def test_matplotlib_is_imported_late():
    code = "import sys, crossmarket.data.describe; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
