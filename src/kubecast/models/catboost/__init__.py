"""CatBoost on lags, rolling means and the calendar."""
