"""The one training loop: sampling, steps, early stopping, checkpoints, history."""
