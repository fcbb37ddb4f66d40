"""What a client is told: messages, schedules, errors, the API description."""
