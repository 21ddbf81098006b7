"""How good the models are, and whether the new version takes the champion's place."""
