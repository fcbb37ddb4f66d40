"""The Scheduler v1 dialect: `/v1/events`."""
