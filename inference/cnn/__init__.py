"""Convolutional networks for image classification, as torch modules that can be cut into segments."""
