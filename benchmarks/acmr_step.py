"""A pre-training step of ACMR on the seven markets, beside the public code's layout.

    python benchmarks/acmr_step.py [--steps 20] [--whole-epoch]

Steps of 1020 sequences (204 positives, 4 negatives each), width 32, 4 layers, 8 heads, one thread.
In alternation, on the same examples: sequences of similar length together; the same network on
sequences filled up to 51, as the public code lays them out; and that layout through torch's own
encoder layers. The public code itself took 3.31 s a step of 1024 on one thread of such a machine,
measured apart; the ratios to it are not side by side, those between the rows here are. Its epoch
has more steps, as its split keeps more for training: epochs are compared at the steps of ours.
Processor seconds stand beside wall seconds, because other jobs may share the core.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossmarket.graph.bipartite import map_nodes
from crossmarket.models.acmr.network import ACMRNetwork, ACMRNetworkConfig
from crossmarket.models.acmr.sequences import (
    HistoryExamples,
    HistoryExampleSampler,
    HistoryScorer,
)
from crossmarket.training.histories import Histories
from crossmarket.training.options import RunOptions
from measuring import report, summary, xmarket_split

#: The public code's seconds for a step of 1024 sequences.
PUBLIC_STEP = 3.311
SCORED_MARKET, SCORED_USERS = "jp", 60


class TorchEncoder(nn.Module):
    """torch's encoder layers behind the interface of ours."""

    def __init__(self, config: ACMRNetworkConfig) -> None:
        super().__init__()
        width = config.embedding_size
        layer = nn.TransformerEncoderLayer(width, config.num_heads, 4 * width, config.dropout)
        self.layers = nn.TransformerEncoder(layer, config.num_layers, enable_nested_tensor=False)

    def forward(self, tokens: Tensor, padding: Tensor | None = None) -> Tensor:
        mask = None if padding is None else padding.T.contiguous()
        return self.layers(tokens, src_key_padding_mask=mask)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def stepper(network: ACMRNetwork, config: ACMRNetworkConfig) -> Callable[[HistoryExamples], None]:
    optimiser = torch.optim.Adam(
        network.parameters(), lr=config.learning_rate, weight_decay=config.reg, fused=True
    )

    def step(batch: HistoryExamples) -> None:
        optimiser.zero_grad()
        batch.losses(network)["loss"].backward()
        optimiser.step()

    return step


def filled_up(batch: HistoryExamples, length: int, pad: int) -> HistoryExamples:
    """The same examples with histories of one length."""
    missing = length - batch.histories.shape[1]
    return HistoryExamples(
        F.pad(batch.histories, (missing, 0), value=pad), batch.candidates, batch.markets
    )


def summarise(pairs: list[tuple[float, float]]) -> dict[str, Any]:
    wall, processor = zip(*pairs, strict=True)
    return {"wall": summary(list(wall)), "processor": summary(list(processor))}


def scoring(
    network: ACMRNetwork, histories: Histories, scorer: HistoryScorer, catalogue: np.ndarray
) -> dict[str, float]:
    """Sequences a second when users are scored over a whole catalogue."""
    network.eval()
    users = np.flatnonzero(histories.lengths)[:SCORED_USERS]
    wall, processor = timed(lambda: scorer.score(histories, users, SCORED_MARKET, catalogue))
    sequences = len(users) * len(catalogue)
    tokens = len(catalogue) * int((np.minimum(histories.lengths[users], 50) + 1).sum())
    return {
        "sequences": sequences,
        "tokens_per_sequence": tokens / sequences,
        "sequences_per_second": sequences / wall,
        "sequences_per_processor_second": sequences / processor,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--whole-epoch", action="store_true")
    arguments = parser.parse_args()
    train = xmarket_split().train
    nodes = map_nodes(train, train.markets)
    histories = Histories.of(train, nodes, train.markets)
    config = ACMRNetworkConfig()
    sampler = HistoryExampleSampler(train, nodes, train.markets, histories, config, "cpu")
    torch.manual_seed(0)
    networks = [ACMRNetwork(len(nodes.items), len(nodes.markets), config) for _ in range(3)]
    networks[2].encoder = TorchEncoder(config)
    ours, padded, theirs = (stepper(network, config) for network in networks)
    seconds: dict[str, list[tuple[float, float]]] = {"ours": [], "padded": [], "torch": []}
    tokens = []
    with RunOptions(threads=1).applied():
        batches = sampler.batches(np.random.default_rng(0))
        for place in range(arguments.steps + 2):
            batch = next(batches)
            whole = filled_up(batch, config.max_length, len(nodes.items))
            steps = {
                "ours": timed(lambda batch=batch: ours(batch)),
                # The slow ones need fewer repeats.
                **({"padded": timed(lambda whole=whole: padded(whole))} if place % 4 == 1 else {}),
                **({"torch": timed(lambda whole=whole: theirs(whole))} if place % 4 == 1 else {}),
            }
            tokens.append(batch.candidates.numel() * (batch.histories.shape[1] + 1))
            if place >= 2:
                for name, value in steps.items():
                    seconds[name].append(value)
        drawn = timed(lambda: sum(1 for _ in sampler.batches(np.random.default_rng(1))))
        positives = train.num_interactions
        steps_per_epoch = -(-positives // (config.batch_size // (1 + config.num_negatives)))
        mean = np.mean(seconds["ours"], axis=0)
        epoch = {
            "steps": steps_per_epoch,
            "sampling_and_padding": {"wall": drawn[0], "processor": drawn[1]},
            "extrapolated": {
                "wall": mean[0] * steps_per_epoch + drawn[0],
                "processor": mean[1] * steps_per_epoch + drawn[1],
            },
        }
        if arguments.whole_epoch:
            wall, processor = timed(
                lambda: [ours(batch) for batch in sampler.batches(np.random.default_rng(2))]
            )
            epoch["whole"] = {"wall": wall, "processor": processor}
        scorer = HistoryScorer(networks[0], nodes, config.max_length, "cpu")
        bare = Histories.of_matrix(train.matrix(SCORED_MARKET), nodes)
        scored = scoring(networks[0], bare, scorer, train.catalogue(SCORED_MARKET))
    found = {name: summarise(values) for name, values in seconds.items()}
    last = epoch.get("whole", epoch["extrapolated"])
    sequences = batch.candidates.numel()
    public = PUBLIC_STEP * sequences / 1024
    report(
        "acmr-step",
        {
            "settings": f"{positives} positives of 7 markets, {sequences} sequences a step "
            f"(4 negatives), width {config.embedding_size}, {config.num_layers} layers, "
            f"{config.num_heads} heads, 1 thread; seconds",
            "tokens_per_sequence": float(np.mean(tokens)) / sequences,
            "step, similar lengths together (ours)": found["ours"],
            "step, filled up to 51": found["padded"],
            "step, filled up to 51, torch's layers": found["torch"],
            "epoch": epoch,
            "scoring": scored,
            "filled up / ours": ratio(found["padded"], found["ours"]),
            "torch's layers / ours": ratio(found["torch"], found["ours"]),
            "public_step_seconds": PUBLIC_STEP,
            "public step / ours, wall": public / found["ours"]["wall"]["median"],
            "public step / ours, processor": public / found["ours"]["processor"]["median"],
            "public epoch / ours, wall": public * steps_per_epoch / last["wall"],
            "public epoch / ours, processor": public * steps_per_epoch / last["processor"],
        },
    )


def ratio(slower: dict[str, Any], faster: dict[str, Any]) -> dict[str, float]:
    return {kind: slower[kind]["median"] / faster[kind]["median"] for kind in faster}


if __name__ == "__main__":
    main()
