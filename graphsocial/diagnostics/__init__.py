"""Checks of the installation, and benchmarks of training."""
