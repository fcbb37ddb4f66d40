"""The processes that deliver events: ticker, delivery worker, clock, chores."""

from workers.delivery_worker import DeliveryWorker

__all__ = ["DeliveryWorker"]
