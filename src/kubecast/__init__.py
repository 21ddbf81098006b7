"""kubecast: forecasting models trained, stacked, judged and published."""
