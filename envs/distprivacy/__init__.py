"""Segment allocation with privacy limits: where each feature map of a CNN runs (RL-DistPrivacy)."""
