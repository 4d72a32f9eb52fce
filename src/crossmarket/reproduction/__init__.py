"""Published tables, measured again: both side by side, with a verdict for every row."""
