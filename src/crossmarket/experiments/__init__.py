"""Runs and comparisons: typed settings in, models, tables and provenance out."""
