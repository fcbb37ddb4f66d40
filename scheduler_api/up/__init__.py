"""Runs a complete system on one machine: the embedded store and all processes."""
