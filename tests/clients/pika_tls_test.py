"""pika over TLS."""
import os
import ssl

import pika

from checks import HOST, check, equal, run

PORT = int(os.environ["AMQPS_PORT"])
CERTIFICATES = os.environ["AMQPS_CERTIFICATES"]


def context():
    """Trusts the authority of the tests."""
    return ssl.create_default_context(cafile=f"{CERTIFICATES}/ca_certificate.pem")


def connect(tls, **options):
    """A blocking connection over TLS."""
    return pika.BlockingConnection(pika.ConnectionParameters(
        HOST, PORT, ssl_options=pika.SSLOptions(tls, "localhost"), **options))


@check
def messages_of_all_sizes_come_back():
    with connect(context()) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = channel.queue_declare("", exclusive=True).method.queue
        for size in (0, 1, 16383, 16384, 16385, 1000000):
            body = bytes(i % 251 for i in range(size))
            channel.basic_publish("", queue, body)
            for _, _, got in channel.consume(queue, auto_ack=True):
                equal(got, body)
                break


@check
def tls_1_2_is_spoken_too():
    old = context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with connect(old) as connection:
        connection.channel().queue_declare("", exclusive=True)


@check
def a_certificate_logs_in_without_a_password():
    own = context()
    own.load_cert_chain(f"{CERTIFICATES}/client_certificate.pem",
                        f"{CERTIFICATES}/client_key.pem")
    with connect(own, credentials=pika.credentials.ExternalCredentials()) as connection:
        connection.channel().queue_declare("", exclusive=True)


@check
def without_a_certificate_external_is_refused():
    try:
        connect(context(), credentials=pika.credentials.ExternalCredentials())
    except pika.exceptions.AMQPConnectionError:
        return
    raise AssertionError("somebody without a certificate got in")


@check
def an_unknown_authority_is_refused_by_the_client():
    stranger = ssl.create_default_context()
    try:
        connect(stranger)
    except ssl.SSLCertVerificationError:
        return
    raise AssertionError("the certificate was trusted")


run()
