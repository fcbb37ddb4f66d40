"""Administration of queues, flow-control keys and held destinations."""
