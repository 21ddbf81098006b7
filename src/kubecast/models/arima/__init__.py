"""ARIMA: the search, the estimation and the forecasts of one model for each series."""
