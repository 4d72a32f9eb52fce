"""What self-contained pages share: their frame, their look and a few elements."""
