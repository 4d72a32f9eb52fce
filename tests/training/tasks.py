"""Tasks for the loop that need no data: a noisy quadratic, and one whose validation is scripted."""

import torch

from crossmarket.training.loop import Schedule, train
from crossmarket.training.options import RunOptions
from crossmarket.training.stage import Stage


class Quadratic:
    """Pull `x` towards noisy targets that the generator draws; `y` comes along."""

    steps = 3

    def __init__(self, size=4):
        self.x = torch.zeros(size, requires_grad=True)
        self.y = torch.ones(2, 2, requires_grad=True)
        self.epochs_begun = 0

    def parameters(self):
        return {"x": self.x, "y": self.y}

    def batches(self, generator):
        self.epochs_begun += 1
        for _ in range(self.steps):
            yield torch.from_numpy(generator.normal(1.0, 1.0, size=len(self.x))).float()

    def losses(self, batch):
        distance = (self.x - batch).square().mean()
        penalty = self.y.square().sum()
        return {"loss": distance + 0.1 * penalty, "distance": distance}

    def validate(self):
        """A value that rises and falls as `x` passes by one half."""
        return {"ndcg@10": float(1 - (self.x.detach() - 0.5).abs().mean())}


class Scripted(Quadratic):
    """Validation values in the order of the calls; None stands for nothing to validate."""

    def __init__(self, values):
        super().__init__()
        self.values = list(values)
        self.calls = 0
        self.seen = []

    def validate(self):
        value = self.values[self.calls]
        self.calls += 1
        self.seen.append(
            {name: value.detach().clone() for name, value in self.parameters().items()}
        )
        return {} if value is None else {"ndcg@10": value, "other": -value}


class Interrupted(Quadratic):
    """Fails in the middle of some epoch, as a kill would."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def batches(self, generator):
        for place, batch in enumerate(super().batches(generator)):
            if self.epochs_begun == self.epoch and place == 1:
                raise KeyboardInterrupt
            yield batch


def run(task, workspace=None, *, seed=0, kind="toy", key=None, schedule=None):
    """Train with a checkpoint after each epoch."""
    options = RunOptions(seed=seed, threads=1, workspace=workspace, checkpoint_seconds=0)
    stage = Stage(workspace, kind, {"seed": seed, **(key or {})})
    return train(task, schedule or Schedule(epochs=6, learning_rate=0.1), options, stage)
