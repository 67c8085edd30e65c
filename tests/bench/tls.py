"""What TLS costs: messages, handshakes and idle connections, beside RabbitMQ and OpenSSL's own
programs with the same certificate."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time

import brokers
from measures import CPU, RATE, cpu_seconds, ratio_text, show
from quota import cpu_quota

SIZE = 1024
IDLE = 5000


class TlsLeveret(brokers.Leveret):
    """leveretd with one listener, which speaks TLS."""

    def __init__(self, program, certificates, workers=0):
        super().__init__(program, workers=workers)
        self.certificates = certificates
        self.perf_options = certificates.perf_options

    @property
    def uri(self):
        return f"amqps://guest:guest@localhost:{self.port}/%2f"

    def listener(self):
        return (f"{super().listener()}    tls:\n"
                f"      certificate: {self.certificates.path('server_certificate.pem')}\n"
                f"      key: {self.certificates.path('server_key.pem')}\n")


class TlsRabbitMq(brokers.RabbitMq):
    """RabbitMQ with a listener for TLS beside its plain one."""

    def __init__(self, certificates):
        super().__init__()
        self.certificates = certificates
        self.perf_options = certificates.perf_options
        self.tls_port = brokers.free_port()

    @property
    def uri(self):
        return f"amqps://guest:guest@localhost:{self.tls_port}/%2f"

    def settings(self):
        return (f"{super().settings()}"
                f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}\n"
                f"ssl_options.certfile = {self.certificates.path('server_certificate.pem')}\n"
                f"ssl_options.keyfile = {self.certificates.path('server_key.pem')}\n"
                "ssl_options.verify = verify_none\n"
                "ssl_options.versions.1 = tlsv1.3\n")

    def is_up(self):
        return super().is_up() and brokers.accepts(self.tls_port)


class Certificates:
    """A CA and a server's certificate, as leveretctl makes them."""

    def __init__(self, build):
        self.directory = tempfile.mkdtemp(prefix="leveret-bench-tls-")
        subprocess.run([os.path.join(build, "leveretctl"), "tls", "generate", self.directory],
                       stdout=subprocess.DEVNULL, check=True)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        shutil.rmtree(self.directory, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    @property
    def perf_options(self):
        return ["--ca", self.path("ca_certificate.pem")]


def tls_leveret(bench, certificates):
    return TlsLeveret(bench.leveretd, certificates, workers=bench.arguments.workers)


@contextlib.contextmanager
def tls_rabbit(bench, certificates):
    """RabbitMQ, stopped while another is measured; None without."""
    if bench.arguments.no_rabbitmq or not brokers.RabbitMq.installed():
        yield None
        return
    with TlsRabbitMq(certificates) as rabbit:
        rabbit.pause()
        yield rabbit


def cipher_us_per_message():
    """What OpenSSL's speed gives for decrypting a message and encrypting it again."""
    done = subprocess.run(
        ["openssl", "speed", "-mr", "-seconds", "1", "-bytes", str(SIZE), "-evp", "aes-256-gcm"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    bytes_per_s = float(re.search(r"^\+F:.*:([0-9.]+)$", done.stdout, re.MULTILINE).group(1))
    return 2 * SIZE / bytes_per_s * 1e6


def run_messages(bench):
    scenario = "tls-1k"
    options = (f"--size {SIZE} --autoack --max-in-flight 2000 --warmup 1 "
               f"--time {bench.arguments.time}")
    with Certificates(bench.build) as certificates, tls_rabbit(bench, certificates) as rabbit:
        for _ in range(bench.runs):
            with bench.leveret() as plain:
                bench.keep(scenario, "plain", bench.measure(plain, options))
            with tls_leveret(bench, certificates) as leveret:
                bench.keep(scenario, "leveret", bench.measure(leveret, options))
            bench.keep(scenario, "openssl", {"us": cipher_us_per_message()})
            if rabbit is not None:
                rabbit.resume()
                bench.keep(scenario, "rabbitmq", bench.measure(rabbit, options))
                rabbit.pause()
    with_tls = bench.median(scenario, "leveret", CPU)
    without = bench.median(scenario, "plain", CPU)
    cipher = bench.median(scenario, "openssl", "us")
    more = (with_tls - without) / cipher
    bench.at_most(scenario, "TLS 1.3, 1 KiB: what it adds, over AES-256-GCM of the bytes, µs", more,
                  2, f"({show(with_tls)} - {show(without)}) / {show(cipher)} = {show(more, 1)}")
    bench.at_least(scenario, "TLS 1.3, 1 KiB: processor time per delivery, µs",
                   bench.ratio(scenario, CPU, "rabbitmq", "leveret"), 8,
                   ratio_text(bench, scenario, CPU, "rabbitmq", "leveret"))
    bench.row(scenario, "TLS 1.3, 1 KiB: deliveries per second", "",
              bench.median(scenario, "leveret", RATE),
              ratio_text(bench, scenario, RATE, "leveret", "rabbitmq", 0), None)


# Clients that shake hands at the same time, so that none of them is the limit.
PARALLEL = 4

# Of a CPU, for the server: little enough that the clients could do more with the others.
SERVER_SHARE = 0.2


def start_s_time(port, seconds, cpus):
    return subprocess.Popen(
        ["openssl", "s_time", "-connect", f"127.0.0.1:{port}", "-new", "-time", str(seconds),
         "-tls1_3"], preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end_s_time(process):
    """How many full handshakes it got through one after the other."""
    output, errors = process.communicate()
    found = re.search(r"(\d+) connections in (\d+) real seconds", output)
    if found is None:
        raise brokers.BrokerError(f"openssl s_time: {output}{errors}")
    return int(found.group(1))


def confine(pid, cpus):
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread), cpus)


def shake_hands(port, pid, seconds, clients, cpus):
    """Full handshakes per second of so many clients, and the server's processor time of each."""
    used = cpu_seconds(pid)
    begun = time.monotonic()
    running = [start_s_time(port, seconds, cpus) for _ in range(clients)]
    count = sum(end_s_time(process) for process in running)
    took = time.monotonic() - begun
    used = cpu_seconds(pid) - used
    return {"per_s": count / took, "us": used / count * 1e6}


def keep_handshakes(bench, who, port, pid):
    """One client, whose own cost is most of what is seen; several, which have the other processors
    while the server has one; and several while the server has so little of one that it is the
    limit."""
    cpus = os.sched_getaffinity(0)
    seconds = max(1, round(bench.arguments.time))
    bench.keep("tls-handshakes", who, shake_hands(port, pid, seconds, 1, cpus))
    servers = {min(cpus)}
    confine(pid, servers)
    bench.keep("tls-handshakes", f"{who} on one CPU",
               shake_hands(port, pid, seconds, PARALLEL, cpus - servers or cpus))
    confine(pid, cpus)
    with cpu_quota(pid, SERVER_SHARE) as is_held:
        if is_held:
            bench.keep("tls-handshakes", f"{who} held back",
                       shake_hands(port, pid, seconds, PARALLEL, cpus))


@contextlib.contextmanager
def openssl_server(certificates):
    port = brokers.free_port()
    server = subprocess.Popen(
        ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-quiet",
         "-cert", certificates.path("server_certificate.pem"),
         "-key", certificates.path("server_key.pem")],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not brokers.accepts(port):
            if server.poll() is not None:
                raise brokers.BrokerError("openssl s_server ended")
            time.sleep(0.01)
        yield port, server.pid
    finally:
        server.kill()
        server.wait()


def run_handshakes(bench):
    scenario = "tls-handshakes"
    with Certificates(bench.build) as certificates, tls_rabbit(bench, certificates) as rabbit:
        for _ in range(bench.runs):
            with tls_leveret(bench, certificates) as leveret:
                keep_handshakes(bench, "leveret", leveret.port, leveret.pid)
            with openssl_server(certificates) as (port, pid):
                keep_handshakes(bench, "openssl", port, pid)
            if rabbit is not None:
                rabbit.resume()
                keep_handshakes(bench, "rabbitmq", rabbit.tls_port, rabbit.pid)
                rabbit.pause()
    single = (scenario, "per_s", "leveret", "openssl")
    bench.at_least(scenario, "full handshakes per second, one client, beside s_server",
                   bench.ratio(*single), 0.7, ratio_text(bench, *single, 0))
    held = (scenario, "per_s", "leveret held back", "rabbitmq held back")
    bench.at_least(scenario, "full handshakes per second, server on a fifth of a CPU, beside "
                   "RabbitMQ", bench.ratio(*held), 3, ratio_text(bench, *held, 0))
    one_cpu = (scenario, "per_s", "leveret on one CPU", "rabbitmq on one CPU")
    bench.row(scenario, "full handshakes per second, server on one CPU, beside RabbitMQ", "",
              bench.ratio(*one_cpu), ratio_text(bench, *one_cpu, 0), None)
    for other, name in (("openssl", "s_server"), ("rabbitmq", "RabbitMQ")):
        each = (scenario, "us", f"{other} on one CPU", "leveret on one CPU")
        bench.row(scenario, f"processor time of a handshake: {name}'s over leveret's, µs", "",
                  bench.ratio(*each), ratio_text(bench, *each, 0), None)
    single = (scenario, "per_s", "leveret", "rabbitmq")
    bench.row(scenario, "full handshakes per second, one client, beside RabbitMQ", "",
              bench.ratio(*single), ratio_text(bench, *single, 0), None)


def run_idle(bench):
    scenario = "tls-idle"
    with Certificates(bench.build) as certificates:
        for _ in range(bench.runs):
            with tls_leveret(bench, certificates) as leveret:
                bench.keep(scenario, "leveret",
                           bench.measure(leveret, f"idle-connections {IDLE} --hold 1"))
    measured = bench.median(scenario, "leveret", "broker_bytes_each")
    bench.at_most(scenario, f"memory, bytes: idle TLS connection with a channel ({IDLE:,})",
                  measured, 20480, show(measured, 1))


SCENARIOS = [
    ("tls-1k", run_messages),
    ("tls-handshakes", run_handshakes),
    ("tls-idle", run_idle),
]
