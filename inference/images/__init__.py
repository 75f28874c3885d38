"""Labelled images: the public formats of classification data sets, and a small set that is always there."""
