"""Exact references for early exit: which thresholds are best, and proof of it (docs/early_exit_front.md)."""
