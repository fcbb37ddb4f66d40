"""The Jiter dialect: `/api/events` and `/api/cronjobs`."""
