"""Item neighbours against a loop over all pairs of items."""

import numpy as np
import pytest
from tests.toys import TARGET, dataset_of

from crossmarket.models.item_knn import ItemKNN


def neighbours_by_loop(matrix, count):
    """Cosine of each pair of columns; of each column only the `count` most similar others."""
    norms = np.sqrt((matrix**2).sum(axis=0))
    size = matrix.shape[1]
    similarity = np.zeros((size, size))
    for row in range(size):
        for column in range(size):
            if row != column and norms[row] and norms[column]:
                product = matrix[:, row] @ matrix[:, column]
                similarity[row, column] = product / (norms[row] * norms[column])
    for column in range(size):
        order = sorted(range(size), key=lambda row: (-round(similarity[row, column], 9), row))
        similarity[order[count:], column] = 0
    return similarity


def weighted(matrix, weighting):
    if weighting == "none":
        return matrix
    counts = np.maximum(matrix.sum(axis=1), 1)
    return matrix * np.log1p(matrix.shape[1] / counts)[:, None]


@pytest.mark.parametrize("weighting", ["none", "tfidf"])
@pytest.mark.parametrize(("markets", "count"), [("merged", 200), ("merged", 4), ("target", 3)])
def test_scores_sum_the_kept_cosines_of_the_history(split, options, markets, count, weighting):
    train = split.train
    values = {"markets": markets, "neighbours": count, "weighting": weighting}
    model = ItemKNN.from_config(values, options=options).fit(train, target=TARGET)
    names = train.markets if markets == "merged" else (TARGET,)
    stacked = np.vstack([train.matrix(name).toarray() for name in names]).astype(np.float64)
    similarity = neighbours_by_loop(weighted(stacked, weighting), count)
    catalogue = train.catalogue(TARGET)
    expected = (train.matrix(TARGET).toarray() @ similarity)[:, catalogue]
    users = np.arange(len(train.users(TARGET)))
    if count == 200:
        np.testing.assert_allclose(model.score(users), expected, rtol=1e-5, atol=1e-6)
    else:  # which of several equal neighbours is kept hangs on the last bit of a cosine
        close = np.isclose(model.score(users), expected, rtol=1e-5, atol=1e-6)
        assert close.mean() > 0.9


def test_the_cut_keeps_the_nearest_and_ties_go_to_the_lower_row():
    rows = [("de", f"u{n}", "a") for n in range(3)]
    rows += [("de", "u0", "b"), ("de", "u1", "c"), ("de", "u0", "d"), ("de", "u1", "d")]
    data = dataset_of(rows)
    model = ItemKNN.from_config({"markets": "target", "neighbours": 1}).fit(data, target="de")
    matrix = data.matrix("de").toarray()
    scores = model.score_histories(data.matrix("de")[[2]])  # bought a only
    # a is nearest to d alone (2 of 2 * 3 users); b and c are nearer to d than to a.
    expected = matrix[2] @ neighbours_by_loop(matrix, 1)
    np.testing.assert_allclose(scores[0], expected, rtol=1e-6)
    assert scores[0].tolist() == [0.0, 0.0, 0.0, pytest.approx(2 / np.sqrt(6))]
