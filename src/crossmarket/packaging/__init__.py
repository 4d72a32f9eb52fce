"""Writing artifacts from runs: what a shop ships, without a line of its training."""
