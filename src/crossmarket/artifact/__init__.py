"""What a shop ships and serves: a folder of vectors and tables, read without torch."""
