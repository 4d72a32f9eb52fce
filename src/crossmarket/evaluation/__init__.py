"""Honest numbers: protocols, significance and the proof that nothing leaked."""
