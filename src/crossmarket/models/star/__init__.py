"""STAR: weights of each market times weights of all, over inputs normalised by market."""
