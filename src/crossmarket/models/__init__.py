"""Every recommender behind one contract; one file a system."""
