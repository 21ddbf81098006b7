"""Metrics, significance and conformal quantiles: statistics on tables of forecasts."""
