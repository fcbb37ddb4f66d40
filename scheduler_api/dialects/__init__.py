"""The HTTP dialects: one folder each, with an inbound half and an outbound half."""
