"""What a queue was given and still owes: each message is recognised by its body, and each must come
out once, in order, as it went in."""

import random
import struct
import zlib

HEADER = struct.Struct(">QII")
PADDING = random.Random(1).randbytes(64 * 1024)


class Violation(Exception):
    """The broker broke a promise; the text says which."""


def make_body(number, size):
    padding = PADDING[number % 251:number % 251 + max(0, size - HEADER.size)]
    return HEADER.pack(number, len(padding), zlib.crc32(padding)) + padding


def read_body(body):
    """The number of a message. Raises Violation when it is not as it was made."""
    if len(body) < HEADER.size:
        raise Violation(f"a body of {len(body)} bytes, which nobody published")
    number, size, checksum = HEADER.unpack_from(body)
    padding = body[HEADER.size:]
    if len(padding) != size or zlib.crc32(padding) != checksum:
        raise Violation(f"the body of message {number} is not as it was published")
    return number


class Ledger:
    """Of one queue, and of where its dead letters go."""

    def __init__(self, queue):
        self.queue = queue
        self.next = 0
        self.owed = set()
        self.confirmed = 0
        self.settled_count = 0
        self.last_fresh = -1

    def fail(self, text):
        raise Violation(f"{self.queue}: {text}")

    def take_number(self):
        self.next += 1
        return self.next - 1

    def confirm(self, number):
        self.owed.add(number)
        self.confirmed += 1

    def came(self, body, redelivered, ordered=True):
        """A message was delivered: one that is owed, and if it comes for the first time, behind all
        that came before. Returns its number."""
        number = read_body(body)
        if number not in self.owed:
            self.fail(f"message {number} came, which was settled or never confirmed")
        if ordered and not redelivered:
            if number <= self.last_fresh:
                self.fail(f"message {number} came behind {self.last_fresh}")
            self.last_fresh = number
        return number

    def settle(self, number):
        self.owed.remove(number)
        self.settled_count += 1

    def finish(self):
        """Everything has come out."""
        if self.owed:
            some = ", ".join(str(n) for n in sorted(self.owed)[:10])
            self.fail(f"{len(self.owed)} of {self.confirmed} confirmed messages are lost: {some}")
