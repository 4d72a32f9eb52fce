"""Fair tuning: the same budget for every system, chosen by validation alone."""
