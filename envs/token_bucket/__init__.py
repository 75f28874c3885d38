"""Token-bucket offloading: when an image is worth a token of a rate-limited network (Qiu et al., Chakrabarti et al.)."""
