"""What came in: interactions of many markets, read with full row accounting."""
