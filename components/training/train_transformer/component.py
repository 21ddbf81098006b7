"""Trains the Transformer; final_fit repeats that fit on all rows."""

from kubecast.components.training.trainer import trainer

train_transformer = trainer("transformer")
