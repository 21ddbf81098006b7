"""Trains CatBoost; final_fit repeats that fit on all rows."""

from kubecast.components.training.trainer import trainer

train_catboost = trainer("catboost")
