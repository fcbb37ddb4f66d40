"""Queues, flow-control keys and held destinations, as people see and change them."""
