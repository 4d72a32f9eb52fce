"""Every system that can be packaged, under each of its presets, scores as its stored form does."""

import numpy as np
import pytest
from tests.toys import TARGET, build_tiny

from crossmarket.artifact.loading import load_market
from crossmarket.models.base import Recommender
from crossmarket.models.registry import MODELS
from crossmarket.packaging.package import market_source
from crossmarket.packaging.writing import make_backbone, make_market

SYSTEMS = [
    (name, preset)
    for name, model in MODELS.items()
    if model.serving_form is not Recommender.serving_form
    for preset in model.presets or [None]
]


@pytest.mark.parametrize(("name", "preset"), SYSTEMS)
def test_a_stored_form_scores_as_the_system(name, preset, split, options):
    # Large batches: a fit is a handful of steps.
    model = build_tiny(MODELS[name], options, preset, batch_size=512, batch_pairs=128)
    model.fit(split.train, target=TARGET, valid=split.valid)
    form = model.serving_form()
    files, backbone = make_backbone(name, model.get_config(), split.train.items, {TARGET: form})
    assert set(files) == {"config.json", "items.parquet", "model.safetensors"}
    stored = make_market(market_source(model, split.train, form), backbone)
    del stored["manifest.json"]
    market = load_market(TARGET, "", stored, backbone, "xx")
    everything = model.score(np.arange(len(model.users)))
    for user, wanted in enumerate(everything):
        scores = market.scores_of(user)
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores, wanted, rtol=1e-4, atol=1e-5)
    histories = split.train.matrix("aa")[:4]
    for row in range(4):
        scores = market.form.score_history(np.sort(histories[[row]].indices))
        if scores is None:
            continue
        wanted = model.score_histories(histories[[row]])[0]
        np.testing.assert_allclose(scores, wanted, rtol=1e-4, atol=1e-5)
    assert market.closed_form == model.closed_form
    assert market.config == model.get_config()
