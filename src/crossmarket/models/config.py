"""Settings of systems: what all of them share, and how overrides are laid over defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crossmarket.errors import UsageError
from crossmarket.training.loop import Schedule

C = TypeVar("C", bound="ModelConfig")


class ModelConfig(BaseModel):
    """Hyper-parameters of one system; defaults are the paper's, unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def part(self, kind: type[C]) -> C:
        """The settings that are also fields of another config, as that config."""
        return kind.model_validate(self.model_dump(include=set(kind.model_fields)))


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
            weight_decay=weight_decay,
        )


def config_of(system: str, kind: type[C], *overrides: Mapping[str, Any]) -> C:
    """Lay overrides over the defaults of a config; later ones win, leaf by leaf.

    Parameters
    ----------
    system : str
        Whose settings they are, for errors.
    kind : type of ModelConfig
        The config.
    *overrides : mapping
        Plain values; nested mappings for nested configs.

    Raises
    ------
    UsageError
        For an unknown field or a value out of range.
    """
    # From the whole default, so that a part of a nested config leaves its other parts alone.
    values = kind().model_dump()
    for override in overrides:
        values = merge_values(values, override)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{system}: setting {place!r}: {first['msg'].lower()}") from error


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
