# SPDX-License-Identifier: MIT
"""The handlers of the services that tests/tools has in C, for layout5.py."""
import struct

FNV_OFFSET, FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3
U64 = (1 << 64) - 1


def handle_echo(txn):
    txn.consume(txn.write(txn.input))


def handle_sum(txn):
    while (end := txn.input.find(b"\n") + 1) > 0 and txn.room() >= 48:
        count, value = struct.unpack("=QQ", txn.saved)
        if count == 0:
            value = FNV_OFFSET
        for byte in txn.input[:end]:
            value = (value ^ byte) * FNV_PRIME & U64
        txn.saved[:] = struct.pack("=QQ", count + 1, value)
        txn.write(b"%d %016x\n" % (count + 1, value))
        txn.consume(end)
    if txn.eof and txn.room() >= 48:
        txn.consume(len(txn.input))


def handle_versions(txn):
    while (end := txn.input.find(b"\n") + 1) > 0 and txn.room() >= 64:
        count, = struct.unpack("=I", txn.saved)
        txn.saved[:] = struct.pack("=I", count + 1)
        txn.write(b"%d 1\n" % (count + 1))
        txn.consume(end)
