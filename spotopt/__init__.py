"""Spot Optimizer: keeps EC2 workloads on cheap spot capacity without losing them."""

__version__ = "0.1.0"
