"""Trains CatBoost; final_fit repeats that fit on all rows."""

from components.training.trainer import trainer

train_catboost = trainer("catboost")
