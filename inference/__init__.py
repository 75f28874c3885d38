"""Real networks: everything that turns them into layer lists and tables which the environments replay."""
