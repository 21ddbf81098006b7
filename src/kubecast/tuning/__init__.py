"""Tuning: one search space, searched by Optuna or by Katib."""
