"""Asks an engine that speaks the Thrift protocol of HiveServer2 one statement:
thrift_sql.py PORT SQL. Prints the rows of its answer, with tabs between columns,
and ends with 0 when it answers.

As a module: `Session(port).ask(sql)` gives rows, of texts, numbers and None. It
stands for no user; it speaks the protocol as servers have it where nothing is
set (binary, over SASL with the mechanism PLAIN, which asks for no password).
"""

import socket
import struct
import sys

# Types of the binary protocol.
STOP, BOOL, BYTE, DOUBLE, I16, I32, I64, STRING, STRUCT, MAP, SET, LIST = 0, 2, 3, 4, 6, 8, 10, 11, 12, 13, 14, 15
NUMBERS = {BOOL: "!?", BYTE: "!b", DOUBLE: "!d", I16: "!h", I32: "!i", I64: "!q"}
CALL, REPLY = 1, 2
VERSION_1 = 0x80010000
# What SASL messages say.
START, OK, COMPLETE = 1, 2, 5
# The version of the protocol that we speak: answers come in columns.
PROTOCOL_V8 = 7
# An answer of more bytes is none.
FRAME_MAX_BYTES = 64 << 20
ROWS_AT_ONCE = 1000


class Failed(Exception):
    """The engine refused, or what it said is no answer."""


class Reader:
    """Values of the binary protocol, one after the other."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if count < 0 or self.at + count > len(self.data):
            raise Failed("the answer ends too early")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, kind):
        form = NUMBERS[kind]
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def value(self, kind):
        if kind in NUMBERS:
            return self.number(kind)
        if kind == STRING:
            return self.take(self.number(I32))
        if kind == STRUCT:
            fields = {}
            while (of := self.number(BYTE)) != STOP:
                name = self.number(I16)
                fields[name] = self.value(of)
            return fields
        if kind == MAP:
            of_key, of_value, count = self.number(BYTE), self.number(BYTE), self.number(I32)
            return {self.value(of_key): self.value(of_value) for _ in range(count)}
        if kind in (LIST, SET):
            of, count = self.number(BYTE), self.number(I32)
            return [self.value(of) for _ in range(count)]
        raise Failed(f"the answer has a value of type {kind}")


def text(value):
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("!i", len(data)) + data


def fields(*of):
    """A struct: each field is (its number, its type, its bytes)."""
    return b"".join(struct.pack("!bh", kind, name) + data for name, kind, data in of) + bytes([STOP])


class Session:
    """A session of an engine, over a connection of its own."""

    def __init__(self, port, host="127.0.0.1", wait_s=30):
        self.socket = socket.create_connection((host, int(port)), wait_s)
        for kind, said in ((START, b"PLAIN"), (OK, b"\0anonymous\0anonymous")):
            self.socket.sendall(struct.pack("!bi", kind, len(said)) + said)
        kind, length = struct.unpack("!bi", self.exactly(5))
        said = self.exactly(min(length, 1 << 16))
        if kind != COMPLETE:
            raise Failed(f"the engine lets nobody in: {said.decode('utf-8', 'replace')}")
        opened = self.call("OpenSession", fields((1, I32, struct.pack("!i", PROTOCOL_V8))))
        self.handle = handle(opened[3])

    def exactly(self, count):
        data = bytearray()
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise Failed("the engine closed the connection")
            data += more
        return bytes(data)

    def call(self, name, request):
        """Calls a function with its one argument; its answer, when that says that
        it went well."""
        said = struct.pack("!I", VERSION_1 | CALL) + text(name) + struct.pack("!i", 0) + fields((1, STRUCT, request))
        self.socket.sendall(text(said))
        (length,) = struct.unpack("!i", self.exactly(4))
        if not 0 <= length <= FRAME_MAX_BYTES:
            raise Failed(f"the answer has {length} bytes")
        reader = Reader(self.exactly(length))
        kind = reader.number(I32) & 0xFF
        reader.value(STRING), reader.number(I32)
        answer = reader.value(STRUCT)
        if kind != REPLY or 0 not in answer:
            raise Failed(f"{name} is not answered: {answer}")
        status = answer[0][1]
        if status[1] not in (0, 1):
            raise Failed(status.get(5, b"the statement failed").decode("utf-8", "replace"))
        return answer[0]

    def ask(self, sql):
        """The rows of the answer to a statement."""
        operation = self.call("ExecuteStatement", fields((1, STRUCT, self.handle), (2, STRING, text(sql))))[2]
        if not operation.get(3):
            return []
        rows = []
        request = fields(
            (1, STRUCT, handle(operation, operation[2])), (2, I32, struct.pack("!i", 0)), (3, I64, struct.pack("!q", ROWS_AT_ONCE))
        )
        while more := rows_of(self.call("FetchResults", request)[3]):
            rows += more
        return rows

    def close(self):
        self.socket.close()


def handle(of, kind=None):
    """The handle of a session, or of an operation of that kind, as it was given."""
    both = fields((1, STRING, text(of[1][1])), (2, STRING, text(of[1][2])))
    if kind is None:
        return fields((1, STRUCT, both))
    return fields((1, STRUCT, both), (2, I32, struct.pack("!i", kind)), (3, BOOL, b"\1"))


def rows_of(rows):
    columns = []
    for column in rows.get(3, []):
        (values,) = column.values()
        nulls = values.get(2, b"")
        columns.append(
            [
                None if n // 8 < len(nulls) and nulls[n // 8] >> n % 8 & 1 else v.decode("utf-8", "replace") if isinstance(v, bytes) else v
                for n, v in enumerate(values[1])
            ]
        )
    return list(zip(*columns))


def main():
    port, sql = sys.argv[1:3]
    try:
        for row in Session(port).ask(sql):
            print("\t".join("NULL" if v is None else str(v) for v in row))
    except (Failed, OSError) as e:
        sys.exit(f"failed to ask the engine at port {port}: {e}")


if __name__ == "__main__":
    main()
