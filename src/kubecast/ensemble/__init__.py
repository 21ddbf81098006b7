"""The ensemble: weights, cross-fitting, stacking, and the bundle that is published."""
