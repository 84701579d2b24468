"""Datasets: images, splits, ground truth."""
