"""Recommendations for many markets from one frozen backbone and a few kilobytes of prompts."""

__version__ = "0.1.0"
