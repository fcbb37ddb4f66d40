"""What operators can set: variables, engine settings, limits."""
