"""CAT-SR: causal attention over frozen item vectors; queries and keys are carried over."""
