"""Fitting and stacking models."""
