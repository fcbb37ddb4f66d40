"""Destinations, requests, retries and signatures of deliveries. Pure."""
