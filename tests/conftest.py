"""Fixtures that several floors share."""

import pytest
from hypothesis import settings
from tests.toys import toy_split

from crossmarket.models.validation import Validation
from crossmarket.training.options import RunOptions

# A shared machine may be slow at any moment; slowness is measured by the benchmarks.
settings.register_profile("crossmarket", deadline=None)
settings.load_profile("crossmarket")


@pytest.fixture(scope="session")
def split():
    """Toy split of three markets; nothing changes a data set, so all tests share it."""
    return toy_split()


@pytest.fixture
def options():
    """One thread, nothing on disk, nothing remembered from other tests."""
    return RunOptions(seed=3, threads=1)


@pytest.fixture
def best_at_two(monkeypatch):
    """Makes every validated training best after its second epoch."""

    def evaluate(validation, score):
        validation.calls = getattr(validation, "calls", 0) + 1
        return {"ndcg@10": 0.9 if validation.calls == 3 else 0.1}

    monkeypatch.setattr(Validation, "evaluate", evaluate)
