"""Rules that yield events: stored, planned ahead, run by hand, looked back on."""
