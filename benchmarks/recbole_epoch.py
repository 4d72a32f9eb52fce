"""Seconds of a RecBole LightGCN training epoch; runs in a virtual environment of RecBole's own.

Called by `pretraining.py --recbole PYTHON`: reads user and item indices from an .npz file, prints
one JSON line. RecBole 1.2.1 wants `pip install --no-deps recbole` next to current libraries.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.general_recommender import LightGCN
from recbole.utils import init_seed

source, threads, epochs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
pairs = np.load(source)
with tempfile.TemporaryDirectory() as folder:
    place = Path(folder) / "merged"
    place.mkdir()
    lines = ["user_id:token\titem_id:token"]
    lines += [f"u{u}\ti{i}" for u, i in zip(pairs["users"], pairs["items"], strict=True)]
    (place / "merged.inter").write_text("\n".join(lines) + "\n")
    sys.argv = sys.argv[:1]
    config = Config(
        model="LightGCN",
        dataset="merged",
        config_dict={
            "data_path": folder,
            "checkpoint_dir": folder,
            "train_batch_size": 4096,
            "embedding_size": 64,
            "n_layers": 3,
            "reg_weight": 1e-6,
            "learning_rate": 1e-2,
            "eval_args": {"split": {"RS": [1.0, 0.0, 0.0]}, "order": "RO", "mode": "full"},
            "use_gpu": False,
            "show_progress": False,
            "state": "ERROR",
        },
    )
    init_seed(0, True)
    dataset = create_dataset(config)
    loader = data_preparation(config, dataset)[0]
    model = LightGCN(config, loader.dataset)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    wall, cpu = [], []
    for _ in range(epochs):
        start, cpu_start = time.perf_counter(), time.process_time()
        for batch in loader:
            optimiser.zero_grad()
            loss = model.calculate_loss(batch)
            loss.backward()
            optimiser.step()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - cpu_start)
print(json.dumps({"wall": wall, "cpu": cpu}))
