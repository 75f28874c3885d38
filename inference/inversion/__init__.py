"""Rebuilding pictures from the maps that a device holds, and the privacy table that this gives (paper section 3.1)."""
