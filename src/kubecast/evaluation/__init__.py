"""Evaluation: the models' errors, and whether the new version takes the champion's place."""
