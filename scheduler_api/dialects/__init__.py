"""The dialects (HTTP APIs): each folder has an inbound half and an outbound half."""
