"""Workarounds for other packages and the C library, and the few calls that depend on them."""
