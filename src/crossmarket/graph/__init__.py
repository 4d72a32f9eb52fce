"""Normalised bipartite adjacency and its propagation, nothing else."""
