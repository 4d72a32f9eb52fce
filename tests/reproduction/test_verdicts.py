import polars as pl
import pytest
from tests.reproduction.tables import EASE, KNN, POPULARITY, published, row

from crossmarket.reproduction.measured import CELL_SCHEMA, Measured
from crossmarket.reproduction.verdicts import judge_claims, judge_row, with_verdicts

COLUMNS = ["ca", "de", "fr", "uk"]


def measured(values, error=0.01, per_user=None):
    """Cells of rows, one seed; `values` by row."""
    rows = [
        (label, "ndcg@10", column, 0, value, error)
        for label, own in values.items()
        for column, value in zip(COLUMNS, own, strict=True)
        if value is not None
    ]
    return Measured(pl.DataFrame(rows, schema=CELL_SCHEMA, orient="row"), per_user)


def table(folder, values=(0.1, 0.2, 0.3, 0.4), **changes):
    rows = [row("A", POPULARITY, {"ndcg@10": list(values)})]
    return published(folder, rows, columns=COLUMNS, **changes)


def verdict(table, found):
    return judge_row(table, table.rows[0], with_verdicts(table, found))


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ([0.1, 0.2, 0.3, 0.4], "holds"),
        ([0.12, 0.22, 0.32, 0.42], "holds"),
        ([0.12, 0.22, 0.32, 0.5], "holds"),
        ([0.12, 0.22, 0.2, 0.5], "does not hold"),
        ([0.3, 0.4, 0.5, 0.6], "does not hold"),
        ([0.1, None, None, None], "holds"),
        ([None] * 4, "cannot be compared"),
    ],
)
def test_a_row_holds_where_most_measured_cells_are_within_noise(tmp_path, values, word):
    """The noise of a difference of two figures with error 0.01 is 1.96 x sqrt 2 x 0.01 = 0.0277."""
    assert verdict(table(tmp_path), measured({"A": values})).word == word


def test_seeds_add_to_the_noise(tmp_path):
    cells = pl.concat(
        [
            measured({"A": [value] * 4}).cells.with_columns(seed=seed)
            for seed, value in enumerate([0.1, 0.3])
        ],
        how="vertical_relaxed",
    ).cast(CELL_SCHEMA)
    shown = with_verdicts(table(tmp_path), Measured(cells))
    assert shown["measured"].to_list() == pytest.approx([0.2] * 4)
    assert shown["std"].to_list() == pytest.approx([0.02**0.5] * 4)
    assert shown["seeds"].to_list() == [2] * 4
    assert shown["agrees"].to_list() == [True] * 4


def test_a_reason_stands_before_any_number(tmp_path):
    found = measured({"A": [0.1, 0.2, 0.3, 0.4]})
    whole = verdict(table(tmp_path, comparable="Other data."), found)
    assert (whole.word, whole.reason) == ("cannot be compared", "Other data.")
    rows = [{"title": "A", "unmeasured": "No market us.", "values": {"ndcg@10": [0.1] * 4}}]
    one = verdict(published(tmp_path, rows, columns=COLUMNS), found)
    assert (one.word, one.reason) == ("cannot be compared", "No market us.")


def test_what_the_paper_leaves_empty_is_shown_and_not_judged(tmp_path):
    own, found = table(tmp_path, [None] * 4), measured({"A": [0.1, 0.2, None, None]})
    shown = with_verdicts(own, found)
    assert shown["column"].to_list() == COLUMNS[:2]
    assert shown.select("measured", "published", "agrees").rows() == [
        (0.1, None, None),
        (0.2, None, None),
    ]
    one = verdict(own, found)
    assert (one.word, one.reason) == ("cannot be compared", "The paper prints no number for it.")


def test_the_direction_of_a_miss_is_told(tmp_path):
    reason = verdict(table(tmp_path), measured({"A": [0.9, 0.9, 0.9, 0.1]})).reason
    assert reason == "0 of 4 cells agree; measured is higher in 3."


def claimed(folder, rows=3, **changes):
    """A table with rows A, B, C ..., of which the first is said to be the best."""
    systems = {"A": POPULARITY, "B": EASE, "C": KNN, "D": KNN}
    lines = [row(name, system, {"ndcg@10": [0.5] * 4}) for name, system in systems.items()]
    claim = {"text": "A is best.", "better": "A", "metric": "ndcg@10", **changes}
    own = {"columns": COLUMNS, "claims": [claim], "comparable": "Other data."}
    return published(folder, lines[:rows], **own)


def judge(own, found):
    (judged,) = judge_claims(own, found)
    return judged


def users(values):
    """Ten users a column who each have the value of their row and column."""
    return pl.DataFrame(
        [
            (label, column, 0, str(user), value + 0.001 * (user % 3) * (label == "A"))
            for label, own in values.items()
            for column, value in zip(COLUMNS, own, strict=True)
            for user in range(10)
        ],
        schema=["row", "column", "seed", "user_id", "ndcg@10"],
        orient="row",
    )


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"A": [0.5] * 4, "B": [0.4] * 4, "C": [0.3] * 4}, "holds"),
        ({"A": [0.5] * 4, "B": [0.4, 0.4, 0.4, 0.7], "C": [0.3] * 4}, "undecided"),
        ({"A": [0.5] * 4, "B": [0.6] * 4, "C": [0.3] * 4}, "does not hold"),
        ({"A": [0.5] * 4, "B": [0.4] * 4, "C": [0.9] * 4}, "does not hold"),
    ],
)
def test_a_conclusion_is_tested_on_users_whatever_the_levels(tmp_path, values, word):
    own = claimed(tmp_path)
    found, records = judge(own, measured(values, per_user=users(values)))
    assert found.word == word
    assert [record["than"] for record in records] == ["B", "C"]
    assert all(record["low"] <= record["mean_gain"] + 0.01 for record in records)


def test_a_conclusion_without_users_counts_columns(tmp_path):
    values = {"A": [3.0, 3.0, 3.0, 9.0], "B": [5.0] * 4, "C": [4.0] * 4}
    own = claimed(tmp_path, lower=True)
    found, records = judge(own, measured(values))
    assert found.word == "holds"
    assert [record["ahead"] for record in records] == [3, 3]
    assert {record["p"] for record in records} == {None}
    upwards = claimed(tmp_path)
    assert judge(upwards, measured(values))[0].word == "does not hold"


@pytest.mark.parametrize(("changes", "word"), [({}, "undecided"), ({"margin": 0}, "does not hold")])
def test_one_row_that_is_ahead_by_its_margin_refutes_a_conclusion(tmp_path, changes, word):
    own = claimed(tmp_path, rows=4, **changes)
    values = {"A": [5.0] * 4, "B": [4.0] * 4, "C": [4.0] * 4, "D": [6.0] * 4}
    assert judge(own, measured(values))[0].word == word


def test_a_conclusion_can_ask_for_more_than_a_margin(tmp_path):
    values = {"A": [1.0] * 4, "B": [1.05] * 4, "C": [2.0] * 4}
    own = claimed(tmp_path, lower=True, margin=0.1)
    found, records = judge(own, measured(values))
    assert [record["ahead"] for record in records] == [0, 4]
    assert found.reason == "Ahead by more than 10 % in 4 of 8 comparisons."


def test_a_conclusion_of_rows_that_were_not_measured_is_left_open(tmp_path):
    own = claimed(tmp_path)
    found, records = judge(own, measured({"B": [0.5] * 4, "C": [0.5] * 4}))
    assert (found.word, records) == ("cannot be compared", [])
