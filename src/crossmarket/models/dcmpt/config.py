"""Settings of DCMPT: every gap of the paper is a field with its default named."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from crossmarket.models.config import ModelConfig, TrainingConfig, merge_values
from crossmarket.models.dcmpt.prompts import PromptKind
from crossmarket.models.presets import SOFTMAX_TABLES
from crossmarket.models.tables import ObjectiveConfig, TableConfig


class WRDConfig(ModelConfig):
    """Weighted ranking distillation (eq. 5-9)."""

    top: int = Field(50, ge=1, description="K: length of the teacher's list. Source: none; 50.")
    decay: float = Field(10.0, gt=0, description="lambda of eq. (7). Source: none; 10.")
    deviation: float = Field(0.1, ge=0, description="mu of eq. (8). Source: none; 0.1.")
    normalise_gap: bool = Field(
        False, description="Divide the rank gap of eq. (8) by K. Source: none; off."
    )
    score: Literal["raw", "centred"] = Field(
        "raw",
        description="Student score inside eq. (5): raw, or minus the mean of 100 random items' "
        "scores, without which lifting all scores lowers the loss. Source: DCMPT, raw.",
    )
    include_observed: bool = Field(
        False, description="Keep training items in the teacher's list. Source: none; left out."
    )
    rank_sample: int = Field(
        1000,
        ge=1,
        description="Items sampled to estimate ranks in a large catalogue. Source: none.",
    )
    rank_exact_up_to: int = Field(
        50_000, ge=0, description="Largest catalogue whose ranks are exact. Source: none."
    )


class AMRDDConfig(ModelConfig):
    """Adaptive multi-market relational decoupled distillation (eq. 10-15)."""

    mode: Literal["bridge", "literal", "inductive", "target_only"] = Field(
        "bridge",
        description="How a source market enters: through items shared with the target (bridge), "
        "averaged lists of its own users (literal), its users folded into the teacher "
        "(inductive), or not at all (target_only). Source: eq. (15) leaves it open.",
    )
    length: int = Field(50, ge=2, description="K: observed item and K-1 others. Source: none; 50.")


class PromptConfig(ModelConfig):
    """What is frozen, what the prompts are, and which losses they learn by."""

    backbone: TableConfig = Field(TableConfig(), description="Pre-training (eq. 4).")
    teacher: TableConfig = Field(TableConfig(), description="Teacher, trained on the target alone.")
    pretrain: Literal["merged", "target", "random"] = Field(
        "merged",
        description="What the frozen tables learned from: all markets, the target only, nothing. "
        "Source: DCMPT, merged; the others are its ablation.",
    )
    teacher_from: Literal["target", "fine_tuned"] = Field(
        "target",
        description="Teacher trained from scratch on the target, or the backbone fine-tuned on "
        "it. Source: DCMPT, target.",
    )
    prompt: PromptKind = Field(
        "attention", description="Mixed prompts, one global prompt (GPF), or none. Source: DCMPT."
    )
    num_prompts: int = Field(10, ge=1, description="M: basis prompts. Source: DCMPT Fig. 5, 10.")
    prompt_init: Literal["glorot", "zeros"] = Field(
        "glorot",
        description="Initial basis; zeros starts from the frozen backbone. Source: GPF, glorot.",
    )
    attn_bias: bool = Field(False, description="Bias in the attention. Source: the formula, off.")
    split_banks: bool = Field(
        False, description="Separate prompts for users and items. Source: DCMPT, one bank."
    )
    feature: Literal["layer0", "propagated"] = Field(
        "layer0", description="X_T: table rows before or after propagation. Source: DCMPT, layer0."
    )
    inject: Literal["input", "output"] = Field(
        "input", description="Add prompts before or after propagation. Source: eq. (6), input."
    )
    graph: Literal["target", "combined"] = Field(
        "target", description="Graph at adaptation. Source: DCMPT, the target's subgraph."
    )
    isolated: Literal["keep", "scale"] = Field(
        "keep",
        description="Nodes without training edges keep x0/(L+1) or are scaled back to x0. "
        "Source: none; keep.",
    )
    objective: ObjectiveConfig | None = Field(
        None, description="Task loss of the prompt stage; the backbone's own by default."
    )
    alpha: float = Field(0.5, ge=0, description="Weight of the task loss. Source: DCMPT Fig. 5.")
    beta: float = Field(1.0, ge=0, description="Weight of WRD. Source: none; 1.")
    gamma: float = Field(1.0, ge=0, description="Weight of AMRDD. Source: none; 1.")
    wrd: WRDConfig = Field(WRDConfig(), description="Weighted ranking distillation.")
    amrdd: AMRDDConfig = Field(AMRDDConfig(), description="Relational decoupled distillation.")
    batch_pairs: int = Field(
        50, ge=1, description="Positives of a prompt step. Source: DCMPT, 50 user-item pairs."
    )
    distillation_users: int = Field(
        16, ge=1, description="Users of a step's distillation terms. Source: DCMPT, batch size 16."
    )

    def task_objective(self) -> ObjectiveConfig:
        """Task loss of the prompt stage; scores are compared as the backbone compares them."""
        if self.objective is not None:
            return self.objective
        return self.backbone.part(ObjectiveConfig)


class DCMPTConfig(TrainingConfig, PromptConfig):
    """Settings of `DCMPT`; the training is that of the prompts."""

    learning_rate: float = Field(1e-4, gt=0, description="Rate of Adam. Source: DCMPT, 1e-4.")
    reg: float = Field(1e-6, ge=0, description="L2 penalty of the prompts. Source: DCMPT, 1e-6.")
    epochs: int = Field(100, ge=0, description="Most epochs of the prompt stage. Source: none.")
    popularity: tuple[float, ...] = Field(
        (0.0,),
        min_length=1,
        description="Weights tried for the log training count added to the scores; the best on "
        "validation is kept. Source: control (f); off.",
    )


#: The paper's settings where it gives them.
PAPER: dict[str, Any] = {}

#: Chosen on validation (`experiments/tuning.yaml`): the best setting with all three losses on.
#: Without distillation it does as well, within 0.0005.
DEFAULT: dict[str, Any] = {
    "backbone": {**SOFTMAX_TABLES, "embedding_size": 256},
    "teacher": {**SOFTMAX_TABLES},
    "prompt_init": "zeros",
    "graph": "combined",
    "split_banks": True,
    "num_prompts": 40,
    "alpha": 1.0,
    "beta": 0.01,
    "gamma": 0.3,
    "batch_pairs": 1024,
    "distillation_users": 64,
    "learning_rate": 1e-2,
    "wrd": {"score": "centred"},
}

#: Ablations of the paper and controls it lacks, as overrides of a preset they differ from.
VARIANTS: dict[str, dict[str, Any]] = {
    "no-pretrain": {"pretrain": "target", "graph": "target"},
    "random-frozen": {"pretrain": "random"},
    "no-prompt": {"prompt": "none"},
    "no-distillation": {"beta": 0.0, "gamma": 0.0},
    "no-wrd": {"beta": 0.0},
    "no-amrdd": {"gamma": 0.0},
    "fine-tuned-teacher": {"teacher_from": "fine_tuned"},
    "global-prompt": {"prompt": "global"},
    "target-graph": {"graph": "target"},
    "combined-graph": {"graph": "combined"},
    "popularity": {"prompt": "none", "popularity": (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)},
}


def variants_of(preset: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each variant of a preset that is not the preset itself, as overrides of the defaults."""
    own = DCMPTConfig.model_validate(preset)
    merged = {name: merge_values(preset, values) for name, values in VARIANTS.items()}
    return {
        name: values for name, values in merged.items() if DCMPTConfig.model_validate(values) != own
    }
