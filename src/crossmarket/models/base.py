"""The contract that every recommender keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.sparse import csr_array

from crossmarket.artifact.forms import Form
from crossmarket.data.dataset import MarketDataset
from crossmarket.errors import UsageError
from crossmarket.metrics.ranking import top_k
from crossmarket.training.loop import Schedule
from crossmarket.training.options import RunOptions

#: The metric that selects the best state everywhere.
SELECTION_METRIC = "ndcg@10"

#: What a system learns from and how: one market or all alike, a task for each market, a target
#: and its sources, or what was made for markets that share items.
Family = Literal["control", "single or merged", "multi-task", "cross-domain", "cross-market"]

FloatMatrix = NDArray[np.float32]
Rows = NDArray[np.integer[Any]]

_RECOMMEND_BLOCK = 1024
_LIST_SCHEMA = {"user_id": pl.String, "item_id": pl.String, "score": pl.Float32, "rank": pl.Int32}


class ModelConfig(BaseModel):
    """Hyper-parameters of one system; defaults are the paper's, unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TrainingConfig(ModelConfig):
    """When a training steps, looks and stops."""

    learning_rate: float = Field(1e-3, gt=0, description="Rate of Adam. Source: DCMPT, 1e-3.")
    epochs: int = Field(200, ge=0, description="Most epochs. Source: none given.")
    patience: int = Field(
        10, ge=1, description="Evaluations without a better validation NDCG@10. Source: DCMPT, 10."
    )
    evaluate_every: int = Field(1, ge=1, description="Epochs between evaluations. Source: ours.")

    def schedule(self, weight_decay: float = 0.0) -> Schedule:
        """Return the loop's view of these settings."""
        return Schedule(
            self.epochs,
            self.learning_rate,
            self.patience,
            self.evaluate_every,
            SELECTION_METRIC,
            weight_decay,
        )


class Recommender(ABC):
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
        # From the whole default, so that a part of a nested config leaves its other parts alone.
        start = cls.config_class().model_dump()
        if preset is not None:
            start = merge_values(start, cls.presets[preset])
        try:
            config = cls.config_class.model_validate(merge_values(start, values or {}))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise UsageError(f"{cls.name}: setting {place!r}: {first['msg'].lower()}") from error
        return cls(config, options)

    def get_config(self) -> dict[str, Any]:
        """The hyper-parameters as JSON-able values; `from_config` takes them back."""
        return self.config.model_dump(mode="json")

    # -- learning ---------------------------------------------------------------------------

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

    def _set_history(self, history: MarketDataset) -> None:  # noqa: B027
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

    # -- scoring ----------------------------------------------------------------------------

    def score(self, users: Rows, items: Rows | None = None) -> FloatMatrix:
        """Score items for known users of the target.

        Parameters
        ----------
        users : int [n]
            User rows of the target market.
        items : int [m], optional
            Item rows; the market's whole catalogue by default.

        Returns
        -------
        float32 [n, m], higher is better, always finite.
        """
        wanted = self.catalogue if items is None else np.asarray(items)
        with self.options.applied():
            return self._score_known(np.asarray(users), wanted, self._score)

    @abstractmethod
    def _score(self, users: Rows, items: Rows) -> FloatMatrix: ...

    def score_lists(self, users: Rows, items: Rows) -> FloatMatrix:
        """Score a list of items of its own for each user.

        Parameters
        ----------
        users : int [n]
            User rows of the target market.
        items : int [n, k]
            Item rows; repeats allowed.

        Returns
        -------
        float32 [n, k], each value as `score` gives it.
        """
        with self.options.applied():
            return self._score_known(np.asarray(users), np.asarray(items), self._score_lists)

    def _scorable(self) -> Rows | None:
        """Sorted item rows the system learned anything of; None: any item can be scored."""
        return None

    def _score_known(
        self, users: Rows, items: Rows, score: Callable[[Rows, Rows], FloatMatrix]
    ) -> FloatMatrix:
        """Score; items of other markets that the system never met come last, all alike."""
        known = self._scorable()
        if known is None:
            return score(users, items)
        found = known[np.minimum(np.searchsorted(known, items), len(known) - 1)] == items
        if found.all():
            return score(users, items)
        scores = score(users, np.where(found, items, known[0]))
        lowest = np.where(found, scores, np.inf).min(axis=1, initial=np.inf)
        lowest[np.isposinf(lowest)] = 0
        return np.where(found, scores, lowest[:, None]).astype(np.float32)

    def _score_lists(self, users: Rows, items: Rows) -> FloatMatrix:
        parts = [np.zeros((0, items.shape[1]), dtype=np.float32)]
        for start in range(0, len(users), _RECOMMEND_BLOCK):
            block = slice(start, start + _RECOMMEND_BLOCK)
            wanted, columns = np.unique(items[block], return_inverse=True)
            scores = self._score(users[block], wanted)
            parts.append(np.take_along_axis(scores, columns.reshape(items[block].shape), axis=1))
        return np.concatenate(parts)

    def score_histories(self, histories: csr_array, items: Rows | None = None) -> FloatMatrix:
        """Score items for users given only by what they interacted with.

        Parameters
        ----------
        histories : sparse [n, number of items in the vocabulary]
            Binary; one row a user.
        items : int [m], optional
            Item rows; the market's whole catalogue by default.

        Raises
        ------
        UsageError
            If the system cannot fold in a history.
        """
        if not self.supports_fold_in:
            raise UsageError(
                f"{self.name} cannot score a bare history; name a user of the market instead"
            )
        wanted = self.catalogue if items is None else np.asarray(items)
        with self.options.applied():
            return self._score_histories(histories, wanted)

    def _score_histories(self, histories: csr_array, items: Rows) -> FloatMatrix:
        raise AssertionError(f"{self.name} claims fold-in without providing it")

    def recommend(
        self,
        users: Sequence[str] | None = None,
        *,
        histories: Sequence[Sequence[str]] | None = None,
        k: int = 10,
        exclude_seen: bool = True,
        items: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
    ) -> pl.DataFrame:
        """Top-k lists for users of the market, or for bare histories.

        Parameters
        ----------
        users : sequence of str, optional
            User ids of the target market.
        histories : sequence of sequences of item ids, optional
            Instead of users; the list of the n-th history is under the user id `history-n`.
        k : int
            Length of each list; shorter where fewer candidates are left.
        exclude_seen : bool
            Leave out what the user has interacted with.
        items : sequence of str, optional
            Recommend only these items of the market.
        exclude : sequence of str
            Never recommend these items.

        Returns
        -------
        polars.DataFrame with `market, user_id, item_id, score, rank` (rank 1 is best).

        Raises
        ------
        UsageError
            For an unknown user, a history without any known item, or k below 1.
        """
        if k < 1:
            raise UsageError(f"k={k} asks for no items; k must be at least 1")
        if (users is None) == (histories is None):
            raise UsageError("give either users or histories, not both")
        candidates = self._candidates(items, exclude)
        vocabulary = self.train.items
        if histories is not None:
            names = [f"history-{number}" for number in range(1, len(histories) + 1)]
            seen = self._history_matrix(histories)
        else:
            names = list(users or ())
            rows = self.users.rows(names)
            if np.any(rows < 0):
                unknown = names[int(np.argmax(rows < 0))]
                raise UsageError(
                    f"market {self.target!r} has no user {unknown!r}; "
                    "give a history of item ids to get a list for a new user"
                )
            seen = self.history[rows]
        parts = [pl.DataFrame(schema=_LIST_SCHEMA)]
        for start in range(0, len(names), _RECOMMEND_BLOCK):
            block = slice(start, start + _RECOMMEND_BLOCK)
            if histories is not None:
                scores = self.score_histories(seen[block], candidates)
            else:
                scores = self.score(rows[block], candidates)
            if exclude_seen:
                scores = np.where(seen[block][:, candidates].toarray() > 0, -np.inf, scores)
            columns, values = top_k(scores, k)
            found = columns >= 0
            repeats = found.sum(axis=1)
            parts.append(
                pl.DataFrame(
                    {
                        "user_id": np.repeat(np.array(names[block], dtype=object), repeats),
                        "item_id": vocabulary.take(candidates[columns[found]]),
                        "score": values[found].astype(np.float32),
                        "rank": (np.nonzero(found)[1] + 1).astype(np.int32),
                    },
                    schema=_LIST_SCHEMA,
                )
            )
        table = pl.concat(parts)
        return table.select(pl.lit(self.target).alias("market"), pl.all())

    def _candidates(self, items: Sequence[str] | None, exclude: Sequence[str]) -> Rows:
        candidates = self.catalogue
        if items is not None:
            candidates = np.intersect1d(candidates, self.train.items.rows(list(items)))
        return np.setdiff1d(candidates, self.train.items.rows(list(exclude)))

    def _history_matrix(self, histories: Sequence[Sequence[str]]) -> csr_array:
        rows: list[Rows] = [np.zeros(0, dtype=np.int64)]
        columns: list[Rows] = [np.zeros(0, dtype=np.int64)]
        for number, history in enumerate(histories):
            known = np.unique(self.train.items.rows(list(history)))
            known = known[known >= 0]
            if not len(known):
                raise UsageError(
                    f"none of the items of history {number + 1} is known; "
                    "check the ids against `crossmarket data describe`"
                )
            rows.append(np.full(len(known), number))
            columns.append(known)
        flat = (np.concatenate(rows), np.concatenate(columns))
        shape = (len(histories), len(self.train.items))
        return csr_array((np.ones(len(flat[0]), dtype=np.float32), flat), shape=shape)


def merge_values(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested mappings; `override` wins leaf by leaf."""
    merged = dict(base)
    for key, value in override.items():
        before = merged.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            merged[key] = merge_values(before, value)
        else:
            merged[key] = value
    return merged


def flat_values(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings; `{"a": {"b": 1}}` becomes `{"a.b": 1}`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flat_values(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
