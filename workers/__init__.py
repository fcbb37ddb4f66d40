"""The processes that carry events out: ticker, deliveries, chores."""

from workers.delivery_worker import DeliveryWorker

__all__ = ["DeliveryWorker"]
