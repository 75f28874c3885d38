"""A network that is cut by a placement and really run piece by piece, with the messages that the physics counts."""
