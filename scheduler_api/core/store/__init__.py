"""Everything that is written to Redis, and reads by id."""
