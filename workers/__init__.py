"""The background processes: ticker, delivery worker, clock and chores."""

from workers.delivery_worker import DeliveryWorker

__all__ = ["DeliveryWorker"]
