"""Brokers as processes of their own: started on free ports in a fresh directory, stopped without
a trace. Standard library alone."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

START_SECONDS = 120
STOP_SECONDS = 60


class BrokerError(Exception):
    """A broker did not do what it should; the text says what, with the end of its log."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def accepts(port):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0


class Broker:
    """What leveret and RabbitMQ have in common: a process, a port, a directory, a log."""

    name = ""
    perf_options = []  # what leveret-perf needs to know beside the uri

    def __init__(self):
        self.process = None
        self.directory = None
        self.port = None
        self.pid = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *unused):
        self.stop()

    @property
    def uri(self):
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2f"

    def path(self, name):
        return os.path.join(self.directory, name)

    def log_tail(self):
        try:
            with open(self.path("log"), errors="replace") as f:
                return f.read()[-3000:]
        except OSError:
            return "(no log)"

    def fail(self, text):
        raise BrokerError(f"{self.name}: {text}\n{self.log_tail()}")

    def wait_until(self, condition):
        """Polls `condition` while the process lives."""
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            if self.process.poll() is not None:
                self.fail(f"ended with status {self.process.returncode} while starting")
            if time.monotonic() > deadline:
                self.fail(f"is not listening after {START_SECONDS} s")
            time.sleep(0.002)

    def spawn(self, command, environment=None):
        with open(self.path("log"), "ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    def stop(self):
        if self.process is not None:
            self.stop_process()
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process = None
        if self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)

    def stop_process(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def pause(self):
        """Keeps it from using the machine while another is measured."""

    def resume(self):
        """Ends pause()."""


class Leveret(Broker):
    """leveretd with its default configuration, but for the port and what `settings` says."""

    name = "leveret"

    def __init__(self, program, workers=0, environment=None, settings=""):
        super().__init__()
        self.program = program
        self.workers = workers
        self.environment = environment
        self.settings = settings
        self.start_seconds = None

    def start(self):
        self.directory = tempfile.mkdtemp(prefix="leveret-bench-")
        with open(self.path("leveret.yaml"), "w") as f:
            f.write(f"listeners:\n{self.listener()}")
            f.write(f"workers: {self.workers}\n{self.settings}")
        self.run()

    def listener(self):
        return "  - address: 127.0.0.1\n    port: 0\n"

    def run(self):
        begun = time.monotonic()
        self.spawn(
            [self.program, "--config", self.path("leveret.yaml"), "--data-dir", self.path("data")],
            self.environment,
        )
        self.wait_until(self.read_port)
        self.start_seconds = time.monotonic() - begun
        self.pid = self.process.pid

    def restart(self):
        """Ends it and starts it again with what it has on its disk. Returns when it was started
        (time.monotonic())."""
        self.stop_process()
        os.remove(self.path("log"))
        begun = time.monotonic()
        self.run()
        return begun

    def read_port(self):
        with open(self.path("log"), errors="replace") as f:
            found = re.search(r"listening on \S+:(\d+)", f.read())
        if found is not None:
            self.port = int(found.group(1))
        return found is not None


class RabbitMq(Broker):
    """RabbitMQ as Debian packages it, with its default configuration, but for names, ports and
    directories; with an epmd of its own, so that no other node is met."""

    name = "rabbitmq"
    server = "/usr/lib/rabbitmq/bin/rabbitmq-server"

    def __init__(self):
        super().__init__()
        self.epmd = None

    @classmethod
    def installed(cls):
        return os.path.exists(cls.server)

    def start(self):
        self.directory = tempfile.mkdtemp(prefix="rabbitmq-bench-")
        self.port = free_port()
        epmd_port = free_port()
        with open(self.path("rabbitmq.conf"), "w") as f:
            f.write(self.settings())
        with open(self.path("enabled_plugins"), "w") as f:
            f.write("[].\n")
        environment = {
            "HOME": self.directory,
            "ERL_EPMD_PORT": str(epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"leveret-bench-{os.getpid()}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONFIG_FILE": self.path("rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.path("enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": self.path("mnesia"),
            "RABBITMQ_LOG_BASE": self.path("logs"),
            "RABBITMQ_PID_FILE": self.path("pid"),
        }
        self.epmd = subprocess.Popen(
            ["epmd", "-port", str(epmd_port), "-address", "127.0.0.1"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.spawn([self.server], environment)
        self.wait_until(self.is_up)

    def settings(self):
        return f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"

    def is_up(self):
        if not accepts(self.port):
            return False
        try:
            with open(self.path("pid")) as f:
                self.pid = int(f.read())
        except (OSError, ValueError):
            return False
        return True

    def stop_process(self):
        self.resume()
        if self.pid is not None and self.pid != self.process.pid:
            try:
                os.kill(self.pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        super().stop_process()

    def stop(self):
        super().stop()
        if self.epmd is not None:
            self.epmd.kill()
            self.epmd.wait()
        self.epmd = None

    def pause(self):
        if self.pid is not None:
            os.kill(self.pid, signal.SIGSTOP)

    def resume(self):
        if self.pid is not None:
            try:
                os.kill(self.pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
