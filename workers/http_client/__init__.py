"""The HTTP client for deliveries, safe against hostile receivers."""
