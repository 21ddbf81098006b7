"""Trains ARIMA; final_fit repeats that fit on all rows."""

from kubecast.components.training.trainer import trainer

train_arima = trainer("arima")
