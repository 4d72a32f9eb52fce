"""Bi-TGCF: feature propagation in each market, feature transfer between them."""
