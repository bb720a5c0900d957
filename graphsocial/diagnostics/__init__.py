"""Whether graphsocial works here, and how fast."""
