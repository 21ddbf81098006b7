"""Evaluating models."""
