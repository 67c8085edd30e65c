"""Runs functions as checks: prints "ok NAME" or "not ok NAME: why" for each."""
import os
import sys
import traceback

HOST = os.environ["AMQP_HOST"]
PORT = int(os.environ["AMQP_PORT"])

_checks = []


def check(function):
    """Marks a function as a check; its name is the promise."""
    _checks.append(function)
    return function


def run():
    """Runs all checks in order and exits."""
    failed = 0
    for function in _checks:
        name = function.__name__.replace("_", " ")
        try:
            function()
            print(f"ok {name}", flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            traceback.print_exc()
            why = " ".join(str(error).split()) or type(error).__name__
            print(f"not ok {name}: {why}", flush=True)
    sys.exit(1 if failed else 0)


def equal(actual, expected):
    """Fails when two values differ, and says which."""
    if actual != expected:
        raise AssertionError(f"expected {expected!r}, got {actual!r}")
