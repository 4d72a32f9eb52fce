"""DCMPT from a backbone that is there already: further tuning, or a market that joins."""

from __future__ import annotations

import torch
from torch import Tensor

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import NodeMap
from crossmarket.models.arrays import FloatMatrix
from crossmarket.models.dcmpt.config import DCMPTConfig
from crossmarket.models.dcmpt.model import DCMPT
from crossmarket.models.dcmpt.prompts import PromptBank
from crossmarket.models.dcmpt.student import View
from crossmarket.models.tables import Tables, tensor_hash
from crossmarket.training.options import RunOptions
from crossmarket.training.stage import TrainedState


class ContinuedDCMPT(DCMPT):
    """DCMPT of one market over given frozen tables, from given prompts or fresh ones.

    Parameters
    ----------
    config : DCMPTConfig
        Settings; the graph must be the target's, since no other market is there.
    options : RunOptions
        How to run; nothing is kept in a workspace.
    users, items : float32 [users, d], [items, d]
        Frozen rows of the market's users, and of every item of the vocabulary.
    prompts : mapping of name to float32 array, optional
        Prompts to go on from.
    """

    def __init__(
        self,
        config: DCMPTConfig,
        options: RunOptions,
        users: FloatMatrix,
        items: FloatMatrix,
        prompts: dict[str, FloatMatrix] | None = None,
    ) -> None:
        super().__init__(config, options)
        self._rows = (users, items)
        self._prompts = prompts or {}

    @property
    def best_epoch(self) -> int:
        """Epoch whose prompts were kept; 0 are those that tuning started from."""
        return self._trained.best_epoch

    def _frozen_backbone(self, train: MarketDataset, valid: MarketDataset | None) -> Tables:
        table = torch.cat([torch.from_numpy(rows.copy()) for rows in self._rows])
        items = torch.arange(len(self._rows[1]), dtype=torch.int32).numpy()
        nodes = NodeMap((self.target,), {self.target: 0}, len(self._rows[0]), items)
        return Tables(nodes, table, tensor_hash(table), TrainedState({"table": table}, [], 0))

    def _new_bank(self, view: View) -> PromptBank:
        if not self._prompts:
            return super()._new_bank(view)

        def given(name: str) -> Tensor | None:
            found = self._prompts.get(name)
            return None if found is None else torch.from_numpy(found.copy())

        basis = given("basis")
        assert basis is not None  # every bank has one
        return PromptBank(basis, given("attention"), given("bias"), self.config.split_banks)
