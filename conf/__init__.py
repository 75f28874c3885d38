"""Hydra configuration; a package, so that an installed wheel finds it."""
