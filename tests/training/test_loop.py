"""Early stopping, determinism, interruption and refusal of the one training loop."""

import math

import pytest
import torch
from tests.training.tasks import Interrupted, Quadratic, Scripted, run

from crossmarket.errors import CrossmarketError
from crossmarket.training.loop import Schedule, train
from crossmarket.training.options import RunOptions
from crossmarket.training.stage import Stage


def stage_folder(workspace):
    (folder,) = workspace.iterdir()
    return folder


def assert_same_tensors(first, second):
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


# -- early stopping ---------------------------------------------------------------------------


def test_patience_ends_it_and_the_best_state_comes_back():
    task = Scripted([0.1, 0.4, 0.3, 0.6, 0.5, 0.6])
    state = run(task, schedule=Schedule(epochs=50, learning_rate=0.1, patience=2))
    assert [record["epoch"] for record in state.history] == [0, 1, 2, 3, 4, 5]
    assert state.best_epoch == 3
    assert_same_tensors(state.tensors, task.seen[3])
    assert_same_tensors(task.parameters(), task.seen[3])
    assert not torch.equal(task.seen[3]["x"], task.seen[5]["x"])


def test_an_equal_value_is_no_improvement():
    state = run(Scripted([0.2] * 9), schedule=Schedule(9, 0.1, patience=3))
    assert state.best_epoch == 0
    assert len(state.history) == 4


def test_the_untrained_state_may_be_the_best():
    task = Scripted([0.9, 0.1, 0.1])
    state = run(task, schedule=Schedule(epochs=50, learning_rate=0.1, patience=2))
    assert state.best_epoch == 0
    assert torch.equal(state.tensors["x"], torch.zeros(4))
    assert torch.equal(task.x, torch.zeros(4))


def test_an_improvement_renews_the_patience():
    values = [0.0, 0.1, 0.0, 0.2, 0.0, 0.3, 0.0, 0.0]
    state = run(Scripted(values), schedule=Schedule(epochs=50, learning_rate=0.1, patience=2))
    assert state.best_epoch == 5
    assert len(state.history) == 8


def test_patience_counts_evaluations_and_the_last_epoch_is_evaluated():
    task = Scripted([0.5, 0.4, 0.3, 0.2])
    schedule = Schedule(epochs=5, learning_rate=0.1, patience=9, evaluate_every=2)
    state = run(task, schedule=schedule)
    evaluated = [record["epoch"] for record in state.history if "ndcg@10" in record]
    assert evaluated == [0, 2, 4, 5]
    stopped = run(Scripted([0.5, 0.4, 0.3]), schedule=Schedule(50, 0.1, 2, evaluate_every=3))
    assert stopped.history[-1]["epoch"] == 6


def test_another_metric_may_decide():
    values = [0.5, 0.4, 0.3]
    state = run(Scripted(values), schedule=Schedule(2, 0.1, patience=9, metric="other"))
    assert state.best_epoch == 2


def test_without_validation_the_last_epoch_counts():
    for evaluate_every in (1, 2, 3):
        task = Scripted([None] * 9)
        schedule = Schedule(4, 0.1, patience=1, evaluate_every=evaluate_every)
        state = run(task, schedule=schedule)
        assert state.best_epoch == 4
        assert_same_tensors(state.tensors, task.seen[-1])
        assert len(state.history) == 5


def test_no_epochs_leave_the_initial_state():
    task = Quadratic()
    state = run(task, schedule=Schedule(epochs=0, learning_rate=0.1))
    assert state.best_epoch == 0
    assert task.epochs_begun == 0
    assert torch.equal(state.tensors["x"], torch.zeros(4))


def test_history_holds_the_mean_of_each_term_and_the_metrics():
    terms = []

    class Recorded(Quadratic):
        def losses(self, batch):
            values = super().losses(batch)
            terms.append({name: value.item() for name, value in values.items()})
            return values

    state = run(Recorded(), schedule=Schedule(epochs=2, learning_rate=0.1))
    assert list(state.history[0]) == ["epoch", "ndcg@10"]
    for epoch in (1, 2):
        own = terms[(epoch - 1) * 3 : epoch * 3]
        record = state.history[epoch]
        assert list(record) == ["epoch", "loss", "distance", "ndcg@10"]
        for name in ("loss", "distance"):
            mean = sum(values[name] for values in own) / 3
            assert record[name] == pytest.approx(mean, rel=1e-6)
    assert len(state.seconds) == 2
    assert all(value > 0 for value in state.seconds)


def test_the_steps_are_those_of_adam():
    task, twin = Quadratic(), Quadratic()
    fixed = torch.full((4,), 2.0)
    task.batches = twin.batches = lambda _: iter([fixed, fixed])
    state = run(task, schedule=Schedule(epochs=1, learning_rate=0.1))
    optimiser = torch.optim.Adam(twin.parameters().values(), lr=0.1, foreach=False, fused=False)
    for _ in range(2):
        optimiser.zero_grad()
        twin.losses(fixed)["loss"].backward()
        optimiser.step()
    for name, value in twin.parameters().items():
        torch.testing.assert_close(state.tensors[name], value.detach())


# -- determinism ------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name in ("first", "second"):
        run(Quadratic(), tmp_path / name)
    first, second = stage_folder(tmp_path / "first"), stage_folder(tmp_path / "second")
    assert first.name == second.name
    for file in ("model.safetensors", "history.jsonl", "stage.json"):
        assert (first / file).read_bytes() == (second / file).read_bytes()


def test_another_seed_or_kind_of_stage_draws_other_numbers():
    start = run(Quadratic()).history
    assert run(Quadratic(), seed=1).history != start
    assert run(Quadratic(), kind="other").history != start
    # A setting that is added or changed elsewhere must not move the draws.
    assert run(Quadratic(), key={"reg": 0.5}).history == start


def test_a_workspace_changes_nothing(tmp_path):
    assert run(Quadratic()).history == run(Quadratic(), tmp_path).history


# -- interruption -----------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [1, 2, 4, 6])
def test_an_interrupted_training_takes_the_same_steps(tmp_path, epoch):
    run(Quadratic(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(epoch), tmp_path / "cut")
    assert not list(tmp_path.glob("cut/*/stage.json"))
    task = Quadratic()
    run(task, tmp_path / "cut")
    assert task.epochs_begun == 6 - (epoch - 1)
    whole, cut = stage_folder(tmp_path / "whole"), stage_folder(tmp_path / "cut")
    for file in ("model.safetensors", "history.jsonl", "stage.json"):
        assert (whole / file).read_bytes() == (cut / file).read_bytes(), file


def test_interrupted_again_and_again(tmp_path):
    whole = run(Quadratic(), tmp_path / "whole")
    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            run(Interrupted(2), tmp_path / "cut")
    state = run(Quadratic(), tmp_path / "cut")
    assert state.history == whole.history
    assert_same_tensors(state.tensors, whole.tensors)


def test_patience_and_best_state_survive_an_interruption(tmp_path):
    """The best epoch lies before the interruption, the end of patience after it."""
    schedule = Schedule(epochs=40, learning_rate=0.1, patience=3)
    whole = run(Quadratic(), tmp_path / "whole", schedule=schedule)
    assert 0 < whole.best_epoch < len(whole.history) - 1 < 40
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(whole.best_epoch + 2), tmp_path / "cut", schedule=schedule)
    state = run(Quadratic(), tmp_path / "cut", schedule=schedule)
    assert state.best_epoch == whole.best_epoch
    assert state.history == whole.history
    assert_same_tensors(state.tensors, whole.tensors)


def test_a_resumed_training_without_validation_goes_on(tmp_path):
    class Blind(Quadratic):
        def validate(self):
            return {}

    class BlindInterrupted(Interrupted):
        def validate(self):
            return {}

    whole = run(Blind(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(BlindInterrupted(4), tmp_path / "cut")
    assert_same_tensors(run(Blind(), tmp_path / "cut").tensors, whole.tensors)


def test_checkpoints_keep_their_distance(tmp_path):
    options = RunOptions(threads=1, workspace=tmp_path, checkpoint_seconds=3600)
    stage = Stage(tmp_path, "toy", {})
    with pytest.raises(KeyboardInterrupt):
        train(Interrupted(5), Schedule(epochs=6, learning_rate=0.1), options, stage)
    assert stage.load_checkpoint() is None


# -- finished stages and refusal --------------------------------------------------------------


def test_a_finished_stage_is_not_trained_again(tmp_path):
    first = run(Quadratic(), tmp_path)
    task = Quadratic()
    again = run(task, tmp_path)
    assert task.epochs_begun == 0
    assert_same_tensors(task.parameters(), first.tensors)
    assert_same_tensors(again.tensors, first.tensors)
    assert again.history == first.history
    assert again.best_epoch == first.best_epoch
    assert again.seconds == []


def test_options_list_the_stages_in_use_trained_or_read(tmp_path):
    for _ in range(2):
        options = RunOptions(workspace=tmp_path)
        for kind in ("first", "second"):
            train(Quadratic(), Schedule(1, 0.1), options, Stage(tmp_path, kind, {}))
        assert [folder.name.split("-")[0] for folder in options.stages] == ["first", "second"]
        assert all((folder / "stage.json").is_file() for folder in options.stages)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_it_and_keeps_the_checkpoint(tmp_path, bad):
    class Diverging(Quadratic):
        def losses(self, batch):
            values = super().losses(batch)
            return values if self.epochs_begun < 3 else {**values, "loss": values["loss"] * bad}

    with pytest.raises(CrossmarketError, match="loss of stage 'toy' is not finite after 0 steps"):
        run(Diverging(), tmp_path)
    folder = stage_folder(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["checkpoint.safetensors"]
    task = Quadratic()
    run(task, tmp_path)
    assert task.epochs_begun == 4
