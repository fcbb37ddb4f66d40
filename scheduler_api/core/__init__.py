"""The engine, which imports no web framework and no HTTP client.

A module imports only from lower layers, as `tests/test_borders.py` checks. Modules
described as "Pure" do no input or output. The layers from top to bottom:

    fsck, recovery
    schedules, tenants, flow_control, queries
    store        all writes, and reads by id
    delivery     destinations, requests, retries and signatures; no I/O
    settings     settings; shared definitions such as model, headers and timestamps
    cron, ids, errors, batches, frozen
"""
