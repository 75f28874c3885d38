"""Agents for token-bucket offloading: what learns from every token level at once, and how policies are compared."""
