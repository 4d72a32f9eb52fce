"""The leaderboard: many comparisons in one honest table, and its pages."""
