"""DCMPT as a whole: what is frozen, what is shared, what each setting does to the scores."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.toys import TARGET, build_tiny

from crossmarket.data.dataset import Edges
from crossmarket.errors import CrossmarketError
from crossmarket.metrics.ranking import ranking_metrics
from crossmarket.models.dcmpt import model as model_module
from crossmarket.models.dcmpt.backbone import fit_teacher, pretrain
from crossmarket.models.dcmpt.model import DCMPT
from crossmarket.models.lightgcn import LightGCN
from crossmarket.models.tables import tensor_hash
from crossmarket.training.options import RunOptions

#: Big steps, so that what is trained visibly moves.
QUICK = {"learning_rate": 0.05, "prompt_init": "glorot"}


STAGES = ("backbone", "teacher")


@pytest.fixture(scope="module")
def users(split):
    return np.arange(len(split.train.users(TARGET)))


@pytest.fixture
def fit(split, options):
    """Fits with the test's options, so that stages are shared within the test."""

    def run(values=None, *, preset=None, valid=None, **more):
        model = build_tiny(DCMPT, options, preset, {**QUICK, **(values or {})}, **more)
        return model.fit(split.train, target=TARGET, valid=valid)

    return run


# -- frozen and trained -----------------------------------------------------------------------


@pytest.mark.parametrize("teacher_from", ["target", "fine_tuned"])
def test_backbone_and_teacher_are_untouched_and_the_prompts_move(
    split, options, users, fit, teacher_from
):
    config = fit({"teacher_from": teacher_from}, epochs=0).config
    config = config.model_copy(update={"epochs": 4})
    backbone = pretrain(config, split.train, None, TARGET, options)
    teacher = fit_teacher(config, split.train, None, TARGET, backbone, options)[0]
    before = tensor_hash(backbone.layer0), tensor_hash(teacher.layer0)

    untuned = DCMPT(config.model_copy(update={"epochs": 0}), options)
    untuned.fit(split.train, target=TARGET)
    tuned = DCMPT(config, options).fit(split.train, target=TARGET)
    assert pretrain(config, split.train, None, TARGET, options) is backbone
    assert (tensor_hash(backbone.layer0), tensor_hash(teacher.layer0)) == before
    assert not np.allclose(tuned.score(users), untuned.score(users), atol=1e-3)


def test_a_frozen_tensor_that_changed_is_an_error(split, monkeypatch, fit):
    real = model_module.run_training

    def careless(task, *args):
        state = real(task, *args)
        task.view.table.add_(1e-3)
        return state

    monkeypatch.setattr(model_module, "run_training", careless)
    with pytest.raises(CrossmarketError, match="a frozen tensor changed while the prompts were"):
        fit({"graph": "combined"})


def test_the_prompts_of_a_workspace_are_those_of_the_model(split, tmp_path, users):
    from safetensors.torch import load_file

    options = RunOptions(seed=3, threads=1, workspace=tmp_path)
    model = build_tiny(DCMPT, options, values=QUICK).fit(split.train, target=TARGET)
    stages = {path.name.rsplit("-", 1)[0]: path for path in tmp_path.iterdir()}
    assert set(stages) == {"backbone", f"{TARGET}-teacher", f"{TARGET}-prompts"}
    prompts = load_file(stages[f"{TARGET}-prompts"] / "model.safetensors")
    assert sum(tensor.numel() for tensor in prompts.values()) == model.num_trainable()
    fresh = replace(options, memory={})
    again = build_tiny(DCMPT, fresh, values=QUICK).fit(split.train, target=TARGET)
    assert again.score(users).tobytes() == model.score(users).tobytes()


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ({}, 2 * 3 * 8),
        ({"attn_bias": True}, 2 * 3 * 8 + 3),
        ({"split_banks": True}, 2 * 2 * 3 * 8),
        ({"prompt": "global"}, 8),
        ({"prompt": "none"}, 0),
    ],
)
def test_how_many_scalars_a_market_costs(fit, values, count):
    defaults = {"attn_bias": False, "split_banks": False}
    assert fit({**defaults, **values}, epochs=1).num_trainable() == count


# -- shared stages ----------------------------------------------------------------------------


def kinds(options):
    return len(options.memory)


def test_one_backbone_serves_every_target(split, options):
    for target in split.train.markets:
        build_tiny(DCMPT, options, values=QUICK).fit(split.train, target=target)
    assert kinds(options) == 1 + 3  # backbone, a teacher each


def test_without_distillation_there_is_no_teacher(options, fit):
    fit({"beta": 0.0, "gamma": 0.0})
    assert kinds(options) == 1


def test_pre_trained_on_the_target_the_backbone_is_the_teacher(options, fit):
    model = fit({"pretrain": "target", "graph": "target"})
    assert model.config.backbone == model.config.teacher
    assert kinds(options) == 1


def test_a_random_backbone_trains_nothing_on_the_sources(options, fit):
    fit({"pretrain": "random", "beta": 0.0, "gamma": 0.0})
    assert kinds(options) == 0


# -- what the settings do ---------------------------------------------------------------------


def test_without_prompts_on_the_combined_graph_it_is_merged_lightgcn(split, options, users, fit):
    model = fit({"prompt": "none", "graph": "combined"}, valid=split.valid)
    merged = LightGCN.from_config(
        {**model.get_config()["backbone"], "markets": "merged"}, options=options
    ).fit(split.train, target=TARGET, valid=split.valid)
    np.testing.assert_allclose(model.score(users), merged.score(users), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        model.score_histories(split.train.matrix(TARGET)),
        merged.score_histories(split.train.matrix(TARGET)),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("graph", ["target", "combined"])
@pytest.mark.parametrize("inject", ["input", "output"])
def test_prompts_of_zero_start_from_the_frozen_backbone(users, fit, graph, inject):
    where = {"graph": graph, "inject": inject}
    started = fit({**where, "prompt_init": "zeros"}, epochs=0)
    frozen = fit({**where, "prompt": "none"}, epochs=0)
    np.testing.assert_allclose(started.score(users), frozen.score(users), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize(
    "values",
    [
        {"graph": "target", "inject": "input"},
        {"graph": "combined", "inject": "input"},
        {"graph": "target", "inject": "output"},
        {"graph": "combined", "inject": "output", "isolated": "scale"},
        {"graph": "target", "isolated": "scale", "feature": "propagated"},
    ],
)
def test_scores_are_those_of_the_student_that_was_trained(
    split, users, fit, monkeypatch, values, similarity
):
    """Scoring goes the direct way, training the fast one; both must be one student."""
    tasks = []
    real = model_module.run_training
    monkeypatch.setattr(
        model_module, "run_training", lambda task, *rest: tasks.append(task) or real(task, *rest)
    )
    model = fit({**values, "backbone": {"similarity": similarity}})
    (task,) = tasks
    with torch.no_grad():
        vectors = task.view.vectors(task.bank)
    if similarity == "cosine":
        vectors = torch.nn.functional.normalize(vectors, dim=1)
    start = task.view.nodes.num_users
    expected = (vectors[:start] @ vectors[start:].T).numpy()
    np.testing.assert_allclose(model.score(users), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", ["bridge", "literal", "inductive", "target_only"])
@pytest.mark.parametrize("split_banks", [False, True])
def test_every_reading_trains(users, fit, mode, split_banks):
    model = fit({"amrdd": {"mode": mode}, "split_banks": split_banks})
    assert np.isfinite(model.score(users)).all()


def test_the_readings_differ(users, fit):
    found = [
        fit({"amrdd": {"mode": mode}}, epochs=4).score(users).tobytes()
        for mode in ("bridge", "literal", "inductive", "target_only")
    ]
    assert len(set(found)) == 4


def test_a_single_market_distils_on_the_target_only(split, options):
    alone = split.train.select_markets([TARGET])
    models = [
        build_tiny(DCMPT, options, values={**QUICK, "amrdd": {"mode": mode}})
        for mode in ("literal", "target_only")
    ]
    for model in models:
        model.fit(alone, target=TARGET)
        assert np.isfinite(model.score([0])).all()


def test_a_fine_tuned_teacher_takes_the_backbones_width(split, options, users, fit):
    values = {"teacher_from": "fine_tuned", "teacher": {"embedding_size": 4}}
    assert np.isfinite(fit(values).score(users)).all()
    widths = {tables.layer0.shape[1] for tables in options.memory.values()}
    assert widths == {8}


def test_the_task_loss_is_the_backbones_unless_named(configure):
    backbone = {"loss": "softmax", "similarity": "cosine", "temperature": 0.3, "reg": 0.5}
    config = configure(backbone={**configure().backbone.model_dump(), **backbone})
    goal = config.task_objective()
    assert goal.model_dump() == {**backbone, "num_negatives": 4}
    named = config.model_copy(update={"objective": goal.model_copy(update={"loss": "bpr"})})
    assert named.task_objective().loss == "bpr"


# -- popularity control -----------------------------------------------------------------------

WEIGHTS = (0.0, 0.02, 0.4)


def scores_with(split, users, scores, weight):
    catalogue = split.train.catalogue(TARGET)
    counts = np.bincount(split.train.edges(TARGET).items, minlength=len(split.train.items))
    return scores + weight * np.log1p(counts[catalogue])


def best_sellers_held_out(split):
    """A validation part in which everyone bought the best seller among what they had not."""
    matrix = split.train.matrix(TARGET).toarray()
    unseen = np.where(matrix > 0, -1, matrix.sum(axis=0))
    users = np.flatnonzero(matrix.any(axis=1)).astype(np.int32)
    items = unseen.argmax(axis=1)[users].astype(np.int32)
    ones = np.ones(len(users), dtype=np.float32)
    edges = Edges(users, items, ones, np.zeros(len(users), dtype=np.int64))
    return split.valid.replace_edges({TARGET: edges})


@pytest.mark.parametrize("sells", [True, False])
def test_the_popularity_weight_is_the_best_on_validation(split, users, fit, sells):
    valid = best_sellers_held_out(split) if sells else split.valid
    frozen = {"prompt": "none", "pretrain": "random"}
    plain = fit(frozen, valid=valid).score(users)
    catalogue = split.train.catalogue(TARGET)
    seen = split.train.matrix(TARGET)[:, catalogue].toarray() > 0
    rows, columns = valid.matrix(TARGET)[:, catalogue].toarray().nonzero()
    values = []
    for weight in WEIGHTS:
        scores = scores_with(split, users, plain, weight)
        scores[seen] = -np.inf
        values.append(np.nanmean(ranking_metrics(scores, rows, columns, ["ndcg@10"])["ndcg@10"]))
    best = WEIGHTS[int(np.argmax(values))]
    assert values.count(max(values)) == 1
    assert (best == 0.4) == sells

    model = fit({**frozen, "popularity": WEIGHTS}, valid=valid)
    expected = scores_with(split, users, plain, best)
    np.testing.assert_allclose(model.score(users), expected, rtol=1e-5, atol=1e-5)
    assert model.settled().config.popularity == (best,)


def test_without_validation_the_first_popularity_weight_counts(split, users, fit):
    plain = fit({"prompt": "none"}).score(users)
    model = fit({"prompt": "none", "popularity": (0.4, 0.0)})
    expected = scores_with(split, users, plain, 0.4)
    np.testing.assert_allclose(model.score(users), expected, rtol=1e-5, atol=1e-5)


# -- settled ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("best_at_two")
def test_settled_epochs_are_those_of_the_best_states(split, fit):
    model = fit(valid=split.valid, epochs=7)
    settled = model.settled().config
    assert [settled.backbone.epochs, settled.teacher.epochs, settled.epochs] == [2, 2, 2]
    back = {part: getattr(settled, part).model_copy(update={"epochs": 7}) for part in STAGES}
    assert settled.model_copy(update={**back, "epochs": 7}) == model.config


def test_without_prompts_their_epochs_stay(split, fit):
    unprompted = fit({"prompt": "none"}, valid=split.valid, epochs=5)
    assert unprompted.settled().config.epochs == 5
