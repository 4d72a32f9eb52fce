"""The prompted student: the fast form against dense products written out."""

import itertools

import numpy as np
import pytest
import torch
from tests.graph.dense import dense_adjacency, dense_mean
from tests.toys import TARGET

from crossmarket.errors import UsageError
from crossmarket.graph.bipartite import map_nodes
from crossmarket.graph.propagation import propagate
from crossmarket.models.dcmpt.backbone import pretrain, table_rows
from crossmarket.models.dcmpt.prompts import PromptBank
from crossmarket.models.dcmpt.student import seen_matrix, view_market

OPTIONS = {
    "graph": ["target", "combined"],
    "inject": ["input", "output"],
    "feature": ["layer0", "propagated"],
    "isolated": ["keep", "scale"],
    "bank": ["attention", "split", "global"],
}


def bank_of(kind, width, seed=1):
    generator = torch.Generator().manual_seed(seed)
    if kind == "global":
        return PromptBank.create("global", 3, width, generator)
    return PromptBank.create(
        "attention", 3, width, generator, attn_bias=True, split=kind == "split"
    )


def dense_graph(dataset, nodes):
    users, items = nodes.edges_of(dataset, nodes.markets)
    start = nodes.num_users
    return torch.from_numpy(dense_adjacency(users, items - start, start, len(nodes.items)))


def student_by_definition(split, backbone, config, bank, market):
    """Prompt every node of the market, propagate everything, look at the market's nodes."""
    own = map_nodes(split.train, (market,))
    rows = table_rows(backbone, own)
    table = backbone.layer0.double()
    nodes, places = backbone.nodes, rows
    if config.graph == "target":
        nodes, table, places = own, table[rows], np.arange(len(rows))
    adjacency = dense_graph(split.train, nodes)
    layers = config.backbone.num_layers
    features = table[places]
    if config.feature == "propagated":
        features = dense_mean(adjacency, table, layers)[places]
    prompts = (bank.mixture(features.float(), own.num_users) @ bank.basis).double()
    prompted = table.clone()
    if config.inject == "input":
        prompted[places] += prompts
    vectors = dense_mean(adjacency, prompted, layers)[places]
    if config.isolated == "scale":
        vectors[adjacency[places].sum(dim=1) == 0] *= layers + 1
    if config.inject == "output":
        vectors = vectors + prompts
    return vectors


@pytest.mark.parametrize("choice", list(itertools.product(*OPTIONS.values())), ids="-".join)
def test_the_fast_form_is_the_definition(split, backbone, configure, choice):
    *values, kind = choice
    config = configure(**dict(zip(list(OPTIONS)[:-1], values, strict=True)))
    bank = bank_of(kind, backbone.layer0.shape[1])
    for market in (TARGET, "cc"):
        view = view_market(config, split.train, market, backbone, "cpu")
        expected = student_by_definition(split, backbone, config, bank, market)
        torch.testing.assert_close(view.vectors(bank).double(), expected, rtol=1e-5, atol=1e-5)
        if config.inject == "input":
            direct = propagate(view.graph, view.prompted_table(bank), view.num_layers)
            direct = direct[view.rows] * view.scale
            torch.testing.assert_close(view.vectors(bank), direct, rtol=1e-5, atol=1e-5)
        else:
            assert view.prompted_table(bank) is view.table


@pytest.mark.parametrize("graph", ["target", "combined"])
def test_without_prompts_it_is_the_frozen_backbone(split, backbone, configure, graph):
    view = view_market(configure(graph=graph), split.train, TARGET, backbone, "cpu")
    zeros = bank_of("attention", backbone.layer0.shape[1])
    zeros.basis.zero_()
    base = propagate(view.graph, view.table, view.num_layers)[view.rows]
    assert torch.equal(view.vectors(None), base)
    assert torch.equal(view.vectors(zeros), base)
    assert view.prompted_table(None) is view.table
    torch.testing.assert_close(view.prompted_table(zeros), view.table)


def test_isolated_nodes_can_be_scaled_back_to_their_own_features(split, backbone, configure):
    view = view_market(configure(isolated="scale"), split.train, TARGET, backbone, "cpu")
    launched = split.train.items.rows(["launched"])
    newcomer = split.train.users(TARGET).rows(["newcomer"])
    for node in (view.nodes.item_nodes(launched)[0], newcomer[0]):
        assert view.graph.degrees[node] == 0
        torch.testing.assert_close(view.vectors(None)[node], view.table[node])
    kept = view_market(configure(isolated="keep"), split.train, TARGET, backbone, "cpu")
    assert torch.equal(kept.scale, torch.ones_like(kept.scale))


def test_gradients_reach_the_bank_and_nothing_else(split, backbone, configure):
    for graph in ("target", "combined"):
        view = view_market(configure(graph=graph), split.train, TARGET, backbone, "cpu")
        fast, direct = bank_of("attention", 8), bank_of("attention", 8)
        weights = torch.randn(len(view.rows), 8, generator=torch.Generator().manual_seed(3))
        for bank in (fast, direct):
            for tensor in bank.parameters().values():
                tensor.requires_grad_(True)
        (view.vectors(fast) * weights).sum().backward()
        table = propagate(view.graph, view.prompted_table(direct), view.num_layers)
        (table[view.rows] * weights).sum().backward()
        for name, tensor in fast.parameters().items():
            twin = direct.parameters()[name].grad
            torch.testing.assert_close(tensor.grad, twin, rtol=1e-4, atol=1e-5)
        assert not view.table.requires_grad
        assert not backbone.layer0.requires_grad


def test_the_rows_of_a_market_are_found_by_who_they_are(split, backbone):
    nodes = map_nodes(split.train, ("cc",))
    rows = table_rows(backbone, nodes)
    start = backbone.nodes.user_starts["cc"]
    assert rows[: nodes.num_users].tolist() == list(range(start, start + nodes.num_users))
    items = backbone.nodes.items[rows[nodes.num_users :] - backbone.nodes.num_users]
    np.testing.assert_array_equal(items, split.train.catalogue("cc"))


def test_a_market_the_backbone_never_saw_is_refused(split, configure, options):
    config = configure(pretrain="target")
    alone = pretrain(config, split.train, None, TARGET, options)
    assert alone.nodes.markets == (TARGET,)
    with pytest.raises(UsageError, match="knows nothing of market 'cc'"):
        view_market(config, split.train, "cc", alone, "cpu")
    combined = configure(pretrain="target", graph="combined")
    with pytest.raises(UsageError, match="graph=combined needs a backbone of all markets"):
        view_market(combined, split.train, TARGET, alone, "cpu")


def test_the_seen_matrix_has_the_markets_own_columns(split):
    nodes = map_nodes(split.train, (TARGET,))
    seen = seen_matrix(split.train, nodes)
    expected = split.train.matrix(TARGET)[:, split.train.catalogue(TARGET)].toarray() > 0
    assert seen.dtype == torch.bool
    np.testing.assert_array_equal(seen, expected)
