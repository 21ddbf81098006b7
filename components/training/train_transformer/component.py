"""Trains the Transformer; final_fit repeats that fit on all rows."""

from components.training.trainer import trainer

train_transformer = trainer("transformer")
