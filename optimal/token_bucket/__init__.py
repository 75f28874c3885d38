"""Exact references for token-bucket offloading: dynamic programs, a belief policy, the clairvoyant optimum, baselines."""
