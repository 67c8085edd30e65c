"""AMQP's frames, as far as the scenarios speak it themselves."""

import struct


def short_string(text):
    return bytes([len(text)]) + text.encode()


def long_string(data):
    return struct.pack(">I", len(data)) + data


def frame(kind, channel, payload):
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def method(channel, class_id, method_id, arguments=b""):
    return frame(1, channel, struct.pack(">HH", class_id, method_id) + arguments)


def read(stream):
    """The payload of the next frame."""
    _, _, size = struct.unpack(">BHI", stream.read(7))
    return stream.read(size + 1)[:-1]


HEADER = b"AMQP\x00\x00\x09\x01"


def start_ok(user, password):
    """Answers connection.start with PLAIN."""
    response = b"\x00" + user.encode() + b"\x00" + password.encode()
    return method(0, 10, 11, struct.pack(">I", 0) + short_string("PLAIN") +
                  long_string(response) + short_string("en_US"))


def tune_ok_and_open():
    """Answers connection.tune, with no heartbeats, and opens the virtual host "/"."""
    return (method(0, 10, 31, struct.pack(">HIH", 100, 131072, 0)) +
            method(0, 10, 40, short_string("/") + b"\x00\x00"))
