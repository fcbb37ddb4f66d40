"""A scheduler for webhooks: HTTP in, events stored, webhooks out on time."""
