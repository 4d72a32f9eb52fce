"""A run as one page: what was done, how good it is, and what it was made of."""
