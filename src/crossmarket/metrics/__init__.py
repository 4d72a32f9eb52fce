"""What a ranking or a set of lists is worth: numbers from scores, never from a model's insides."""
