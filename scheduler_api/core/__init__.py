"""The engine: it imports no web framework and no HTTP client.

Its layers, from top to bottom. A module imports only from lower layers, which
`tests/test_borders.py` checks.

    fsck, recovery
    schedules, tenants, flow_control, queries
    store        all writes, and reads by id
    delivery     destinations, requests, retries and signatures; pure
    settings     and the vocabulary: model, headers, deduplication, timestamps …
    cron, ids, errors
"""
