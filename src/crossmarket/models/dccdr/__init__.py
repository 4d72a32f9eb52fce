"""DCCDR: a graph for the target, one for its sources, a contrast between their items."""
