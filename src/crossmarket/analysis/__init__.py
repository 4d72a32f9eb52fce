"""Figures and analyses of the papers, and ours: each gives a table and a picture."""
