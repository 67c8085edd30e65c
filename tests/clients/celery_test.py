"""A real Celery worker that executes tasks and sends results back."""
import os
import signal
import subprocess
import sys

os.environ["QUEUE_SUFFIX"] = str(os.getpid())

from celery import chain, group  # noqa: E402  pylint: disable=wrong-import-position

from celery_app import add, app, broken, flaky  # noqa: E402  pylint: disable=wrong-import-position
from checks import check, equal, run  # noqa: E402  pylint: disable=wrong-import-position

DEADLINE_S = 30
HERE = os.path.dirname(os.path.abspath(__file__))

WORKER = subprocess.Popen(
    [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "--concurrency=2",
     "--loglevel=INFO", "--hostname=w1@leveret"],
    cwd=HERE, stdout=sys.stderr, stderr=sys.stderr)


@check
def task_returns_its_result():
    equal(add.delay(2, 3).get(timeout=DEADLINE_S), 5)


@check
def many_tasks_return_theirs():
    results = [add.delay(i, i) for i in range(10)]
    equal([r.get(timeout=DEADLINE_S) for r in results], [2 * i for i in range(10)])


@check
def group_and_chain_work():
    equal(group(add.s(i, 1) for i in range(10))().get(timeout=DEADLINE_S), list(range(1, 11)))
    equal(chain(add.s(1, 2), add.s(3), add.s(4))().get(timeout=DEADLINE_S), 10)


@check
def task_is_retried():
    equal(flaky.delay().get(timeout=DEADLINE_S), 2)


@check
def failure_is_told():
    try:
        broken.delay().get(timeout=DEADLINE_S)
    except ValueError as error:
        equal(str(error), "as intended")
    else:
        raise AssertionError("no failure")


@check
def task_for_later_waits():
    equal(add.apply_async((1, 1), countdown=0.5).get(timeout=DEADLINE_S), 2)


@check
def worker_answers_remote_control():
    equal(app.control.ping(timeout=10, limit=1), [{"w1@leveret": {"ok": "pong"}}])
    active = app.control.inspect(timeout=10, limit=1).active_queues()
    equal(active["w1@leveret"][0]["name"], app.conf.task_default_queue)


@check
def revoked_task_does_not_run():
    result = add.apply_async((1, 1), countdown=2)
    app.control.revoke(result.id, reply=True, timeout=10, limit=1)
    try:
        result.get(timeout=DEADLINE_S)
    except Exception as error:  # pylint: disable=broad-except
        equal(type(error).__name__, "TaskRevokedError")
    else:
        raise AssertionError("it ran")


@check
def worker_ends_when_told():
    WORKER.send_signal(signal.SIGTERM)
    equal(WORKER.wait(DEADLINE_S), 0)
    with app.connection() as connection, connection.channel() as channel:
        channel.queue_delete(app.conf.task_default_queue)


try:
    run()
finally:
    if WORKER.poll() is None:
        WORKER.kill()
        WORKER.wait()
