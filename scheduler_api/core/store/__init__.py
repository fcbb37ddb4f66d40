"""Writes to Redis, and reads by id.

Every call that sends a command to Redis may raise redis.RedisError; other docstrings do
not repeat this. After such an error it is unknown whether the command was executed.
"""
