"""DCMPT, distilled cross-market prompt-tuning (AAAI 2026): the heart of this package."""
