"""What other people's packages need to run here, and what they lack."""
