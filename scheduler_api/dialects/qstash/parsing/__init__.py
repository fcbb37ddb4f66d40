"""What a client says: destinations, headers, bodies and filters."""
