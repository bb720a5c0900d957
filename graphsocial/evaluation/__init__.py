"""How examples are split, and how answers are scored."""
