"""The deliveries of a worker process: fetch, begin, send, settle."""
