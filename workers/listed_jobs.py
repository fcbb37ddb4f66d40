"""RQ jobs that can only run listed functions.

RQ imports and calls whatever a job names: its function and its callbacks. With the
default serializer, it also unpickles the arguments. So a user who can write to the
store could run any code in the processes that read jobs. These classes read jobs as
JSON only, and know no function that is not listed.
"""

import logging
from collections.abc import Callable, Mapping
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker import BaseWorker
from scheduler_api.core import logfmt
from typing import Any, ClassVar

log = logging.getLogger("scheduler.worker")

Functions = Mapping[str, Callable[..., object]]


def by_name(*functions: Callable[..., object]) -> Functions:
    """Return functions by the names under which RQ's jobs call them."""
    return {f"{each.__module__}.{each.__name__}": each for each in functions}


class ListedJob(Job):
    """A call of one of `functions`. RQ finds no job in place of any other job."""

    functions: ClassVar[Functions] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["serializer"] = JSONSerializer
        super().__init__(*args, **kwargs)

    def restore(self, raw_data: Any) -> None:
        """Read the job from its hash, without RQ's callbacks and webhooks.

        Raises: NoSuchJobError (the job is not listed, or cannot be read).
        """
        try:
            super().restore(raw_data)
            is_listed = self.func_name in self.functions and self.instance is None
        except NoSuchJobError:
            raise
        except Exception as err:
            self._refuse(err)
        if not is_listed:
            self._refuse("not a listed function")
        self._success_callback_name = None
        self._failure_callback_name = None
        self._stopped_callback_name = None
        self.webhooks = []

    def _refuse(self, problem: object) -> None:
        log.error(logfmt.line("job.refused", job=self.id, problem=problem))
        raise NoSuchJobError(f"{self.id}: {problem}")

    @property
    def func(self) -> Callable[..., object]:
        """The listed function that the job calls."""
        return self.functions[self.func_name or ""]


def only_listed(worker: BaseWorker, job_class: type[ListedJob]) -> None:
    """Make a worker and its queues read jobs of this class only."""
    worker.job_class = job_class
    worker.serializer = JSONSerializer
    queue: Queue
    for queue in worker.queues:
        queue.job_class = job_class
        queue.serializer = JSONSerializer
