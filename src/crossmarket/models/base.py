"""The contract that every recommender keeps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from crossmarket.artifact.forms import Form
from crossmarket.data.dataset import MarketDataset
from crossmarket.errors import UsageError
from crossmarket.models.config import ModelConfig, config_of
from crossmarket.models.scoring import Scorer
from crossmarket.training.options import RunOptions

#: What a system learns from and how: one market or all alike, a task for each market, a target
#: and its sources, or what was made for markets that share items.
Family = Literal["control", "single or merged", "multi-task", "cross-domain", "cross-market"]


class Recommender(Scorer):
    """A system that scores the items of one target market for its users.

    Public methods check and prepare; a system writes the private hooks `_fit`, `_score` and,
    where it supports users it has never seen, `_score_histories`.

    Parameters
    ----------
    config : ModelConfig, optional
        Hyper-parameters; the system's defaults where omitted.
    options : RunOptions, optional
        Seed, threads, workspace: how to run, apart from what.
    """

    #: Short name: the key of the registry and the command line.
    name: ClassVar[str]
    #: One line on what the system is.
    summary: ClassVar[str]
    #: Where it was published, e.g. `He et al. 2017`; `control` for what only compares.
    paper: ClassVar[str]
    family: ClassVar[Family]
    config_class: ClassVar[type[ModelConfig]]
    #: Named sets of overrides of the config's defaults.
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    #: Whether interactions of other markets change the target's scores.
    uses_sources: ClassVar[bool] = False
    #: Whether a bare history can be scored.
    supports_fold_in: ClassVar[bool] = False
    #: Whether users without training interactions get meaningful scores.
    supports_cold_users: ClassVar[bool] = False
    #: Whether learning depends on nothing but which pairs were observed: no order, weight, chance.
    closed_form: ClassVar[bool] = False

    def __init__(
        self, config: ModelConfig | None = None, options: RunOptions | None = None
    ) -> None:
        self.config = config or self.config_class()
        self.options = options or RunOptions()

    @classmethod
    def from_config(
        cls,
        values: Mapping[str, Any] | None = None,
        *,
        preset: str | None = None,
        options: RunOptions | None = None,
    ) -> Self:
        """Build the system from plain values.

        Parameters
        ----------
        values : mapping, optional
            Overrides; nested mappings for nested configs.
        preset : str, optional
            Name of a preset to start from.
        options : RunOptions, optional
            How to run.

        Raises
        ------
        UsageError
            For an unknown preset, an unknown field or a value out of range.
        """
        if preset is not None and preset not in cls.presets:
            known = ", ".join(cls.presets) or "none"
            raise UsageError(f"{cls.name} has no preset {preset!r}; it has: {known}")
        start = {} if preset is None else cls.presets[preset]
        config = config_of(cls.name, cls.config_class, start, values or {})
        return cls(config, options)

    def get_config(self) -> dict[str, Any]:
        """The hyper-parameters as JSON-able values; `from_config` takes them back."""
        return self.config.model_dump(mode="json")

    def fit(self, train: MarketDataset, *, target: str, valid: MarketDataset | None = None) -> Self:
        """Learn from the training part for one target market.

        Parameters
        ----------
        train : MarketDataset
            Training interactions of all markets; every market but the target is a source.
        target : str
            Market to recommend in.
        valid : MarketDataset, optional
            Held-out interactions over the same vocabularies, for early stopping only.
        """
        self.target = train.require_market(target)
        self.train = train
        self.users = train.users(target)
        self.catalogue = train.catalogue(target)
        self.history = train.matrix(target)
        with self.options.applied():
            self._fit(train, valid)
        return self

    @abstractmethod
    def _fit(self, train: MarketDataset, valid: MarketDataset | None) -> None:
        """Learn; `self.target`, `self.catalogue` and `self.history` are set."""

    def set_history(self, history: MarketDataset) -> Self:
        """Score from other interactions than those learned from (training + validation, say).

        What was learned stays; what a user has done, and whom the user is linked to, changes.
        """
        self.history = history.matrix(self.target)
        with self.options.applied():
            self._set_history(history)
        return self

    def _set_history(self, history: MarketDataset) -> None:
        """Refresh what scoring derives from the interactions; by default nothing."""

    def settled(self) -> Self:
        """An unfitted copy whose choices made on validation are fixed.

        A fit without a validation part (training + validation, say) then ends where the
        validated one was best.
        """
        return type(self)(self._settled_config(), self.options)

    def _settled_config(self) -> ModelConfig:
        """The config with epochs and the like replaced by what validation chose."""
        return self.config

    def num_trainable(self) -> int:
        """Number of scalars that learning for this target adjusts; 0 for counting systems."""
        return 0

    def serving_form(self) -> Form | None:
        """Arrays that score the market's catalogue without this class, for an artifact.

        They describe the model as it scores now, with the history it has. None where no form of
        `crossmarket.artifact.forms` fits; such a system cannot be packaged.
        """
        return None
