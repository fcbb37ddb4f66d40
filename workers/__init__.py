"""The background processes: ticker, delivery worker, clock and chores."""

from workers.chores_worker import ChoresWorker
from workers.delivery_worker import DeliveryWorker
from workers.rq_client import StoreClient

__all__ = ["ChoresWorker", "DeliveryWorker", "StoreClient"]
