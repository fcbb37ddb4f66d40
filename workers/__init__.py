"""The processes that carry events out: ticker, deliveries, chores."""
