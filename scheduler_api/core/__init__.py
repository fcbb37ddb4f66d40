"""The engine: no web framework and no HTTP client in here.

Its floors, top down; imports lead to a lower floor only, a test holds that:

    fsck, recovery
    schedules, tenants, flow_control, queries
    store        everything that is written, and reads by id
    delivery     what is sent, where, when again; pure
    settings     and the vocabulary: model, headers, deduplication, timestamps …
    cron, ids, errors
"""
