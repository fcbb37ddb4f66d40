"""The deliveries of one worker process: fetched, begun, sent, settled."""
