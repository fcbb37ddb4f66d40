"""The background processes: ticker, delivery worker, clock and chores."""

from scheduler_api.core.store.connection import StoreClient
from workers.chores_worker import ChoresWorker
from workers.delivery_worker import DeliveryWorker

__all__ = ["ChoresWorker", "DeliveryWorker", "StoreClient"]
