"""The HTTP client of deliveries: hostile receivers, one deadline, checked addresses."""
