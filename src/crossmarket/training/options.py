"""How a computation runs, apart from what is computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils import deterministic as determinism


@dataclass(frozen=True)
class RunOptions:
    """Choices that are no hyper-parameters.

    Attributes
    ----------
    seed : int
        Seed of every random choice.
    threads : int
        Threads of the numeric kernels. The same count gives the same bytes; see
        `benchmarks/README.md` for how the default was chosen.
    device : str
        Where tensors live, e.g. `cpu` or `cuda`.
    progress : bool
        Show a progress bar with the time left on standard error.
    workspace : Path, optional
        Folder of finished and interrupted training stages. With it, a killed run resumes and
        equal stages are trained once; without it nothing is written.
    checkpoint_seconds : float
        Least time between two checkpoints of one stage.
    memory : dict
        Results shared by the models of one process, keyed by content (not written to disk).
    stages : list of Path
        Folders of the training stages that fits with these options have used, trained or read.
    """

    seed: int = 0
    threads: int = 2
    device: str = "cpu"
    progress: bool = False
    workspace: Path | None = None
    checkpoint_seconds: float = 5.0
    memory: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    stages: list[Path] = field(default_factory=list, compare=False, repr=False)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Set threads and deterministic kernels inside a `with` block, restore them after."""
        threads = torch.get_num_threads()
        deterministic = torch.get_deterministic_debug_mode()
        filled = determinism.fill_uninitialized_memory  # type: ignore[attr-defined]
        # Deterministic mode would also write over every fresh tensor; nothing here reads one.
        determinism.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.set_num_threads(self.threads)
        # The same switch as use_deterministic_algorithms, without loading torch's compiler.
        torch.set_deterministic_debug_mode("error")
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.set_deterministic_debug_mode(deterministic)
            determinism.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
