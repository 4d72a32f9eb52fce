"""The two distillation losses of DCMPT: WRD (eq. 5-9) and AMRDD (eq. 10-15)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def position_weights(length: int, decay: float) -> Tensor:
    """Weights of teacher ranks 1..length (eq. 7): `exp(-r / decay)`, normalised to sum 1."""
    ranks = torch.arange(1, length + 1, dtype=torch.float32)
    return torch.softmax(-ranks / decay, dim=0)


def ranks_among(all_scores: Tensor, scores: Tensor) -> Tensor:
    """Rank (1 = best) of each score among its row of `all_scores`; ties take the best rank.

    Parameters
    ----------
    all_scores : float [B, I]
        Student scores of the items ranked over; -inf leaves an item out.
    scores : float [B, K]
        Scores to place.

    Returns
    -------
    int64 [B, K]
    """
    # Sorting the few scores and dropping the many into their gaps beats sorting the many.
    ascending, order = scores.sort(dim=1)
    below = torch.searchsorted(ascending.contiguous(), all_scores.contiguous())
    counts = torch.zeros(len(scores), scores.shape[1] + 1, dtype=torch.int64, device=scores.device)
    counts.scatter_add_(1, below, torch.ones_like(below))
    above = counts.flip(1).cumsum(dim=1).flip(1)[:, 1:]
    return torch.empty_like(order).scatter_(1, order, above + 1)


def sampled_ranks(sample_scores: Tensor, scores: Tensor, num_items: int) -> Tensor:
    """Estimate ranks among `num_items` from q sampled items: `1 + floor((I - 1) * above / q)`."""
    above = ranks_among(sample_scores, scores) - 1
    return 1 + (num_items - 1) * above // sample_scores.shape[1]


def wrd_weights(
    student_ranks: Tensor, decay: float, deviation: float, normalise_gap: bool = False
) -> Tensor:
    """Weights of the teacher's list (eq. 7-9), each row summing to 1, without gradient.

    Parameters
    ----------
    student_ranks : int64 [B, K]
        Student rank of the teacher's r-th item, r = 1..K.
    decay : float
        lambda of eq. (7); small values look at the head of the list only.
    deviation : float
        mu of eq. (8); how sharply a too low student rank raises the weight.
    normalise_gap : bool
        Divide the rank gap by K, so that the sigmoid of eq. (8) does not saturate.
    """
    length = student_ranks.shape[1]
    ranks = torch.arange(1, length + 1, device=student_ranks.device)
    gap = (student_ranks - ranks).float()
    if normalise_gap:
        gap = gap / length
    # In logarithms: far out, both factors may be too small for a float.
    position = position_weights(length, decay).to(gap.device).log()
    return torch.softmax(position + F.logsigmoid(deviation * gap), dim=1)


def wrd_loss(scores: Tensor, weights: Tensor) -> Tensor:
    """Weighted ranking distillation (eq. 5), mean over the users.

    Parameters
    ----------
    scores : float [B, K]
        Student scores of the teacher's list.
    weights : float [B, K]
        From `wrd_weights`.
    """
    return -(weights * F.logsigmoid(scores)).sum(dim=1).mean()


def log_preferences(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Split a list's softmax into the observed item and the rest (eq. 10 and 12).

    Parameters
    ----------
    logits : float [B, K]
        Column 0 is the observed item.

    Returns
    -------
    log d+ [B], log d- [B], log z [B, K-1]
    """
    everything = logits.logsumexp(dim=1)
    rest = logits[:, 1:].logsumexp(dim=1)
    return logits[:, 0] - everything, rest - everything, logits[:, 1:].log_softmax(dim=1)


def decoupled_kl(teacher: Tensor, student: Tensor) -> Tensor:
    """Decoupled divergence of two lists' logits (the bracket of eq. 15).

    `KL(d^T || d^S) + d-^T KL(z^T || z^S)`; on one and the same list this equals the plain KL
    divergence of the two softmax distributions.

    Parameters
    ----------
    teacher, student : float [B, K]
        Logits; column 0 is the observed item.

    Returns
    -------
    float [B]
    """
    return decoupled_kl_of(log_preferences(teacher), log_preferences(student))


def decoupled_kl_of(
    teacher: tuple[Tensor, Tensor, Tensor], student: tuple[Tensor, Tensor, Tensor]
) -> Tensor:
    """Decoupled divergence of two split lists, each as `log_preferences` returns it."""
    (t_seen, t_rest, t_list), (s_seen, s_rest, s_list) = teacher, student
    binary = t_seen.exp() * (t_seen - s_seen) + t_rest.exp() * (t_rest - s_rest)
    listwise = (t_list.exp() * (t_list - s_list)).sum(dim=-1)
    return binary + t_rest.exp() * listwise


def market_weights(student: Tensor, teacher: Tensor) -> Tensor:
    """Weights of the source markets (eq. 14), without gradient, summing to 1.

    Parameters
    ----------
    student : float [markets]
        Mean observed preference d+ of the student on each market's lists.
    teacher : float scalar
        Mean observed preference d+ of the teacher on the target.
    """
    return torch.softmax(-(student - teacher).abs().detach(), dim=0)
