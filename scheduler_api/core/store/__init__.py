"""Writes to Redis, and reads by id.

Every call that reaches Redis may raise redis.RedisError, which docstrings do not
repeat. It is unknown then whether the call was carried out.
"""
