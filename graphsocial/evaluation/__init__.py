"""How examples are split, and how predictions are scored."""
