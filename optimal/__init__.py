"""References with proof: the best possible decision of an instance, its bound, and a checker for any solution."""
