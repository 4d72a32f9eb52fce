"""ACMR, also called Bert4XMR: a transformer over a user's items and the candidate."""
