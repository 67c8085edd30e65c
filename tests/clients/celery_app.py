"""The Celery application that celery_test.py runs a worker of."""
import os

from celery import Celery

app = Celery(
    "leveret_clients",
    broker=f"amqp://guest:guest@{os.environ['AMQP_HOST']}:{os.environ['AMQP_PORT']}//",
    backend="rpc://")
app.conf.update(
    broker_connection_timeout=10,
    task_acks_late=True,
    worker_prefetch_multiplier=2,
    task_default_queue="celery-" + os.environ["QUEUE_SUFFIX"],
    task_queue_max_priority=5,
)


@app.task
def add(x, y):
    """Adds."""
    return x + y


@app.task(bind=True, max_retries=3)
def flaky(self):
    """Fails twice, then tells how often it was tried."""
    if self.request.retries < 2:
        raise self.retry(countdown=0.1)
    return self.request.retries


@app.task
def broken():
    """Always fails."""
    raise ValueError("as intended")
