"""A scheduler that accepts webhooks over HTTP and delivers them on time."""
