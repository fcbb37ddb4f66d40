"""Settings: environment variables, the engine's settings, and limits."""
