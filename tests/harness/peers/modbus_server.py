"""A third-party Modbus server (pymodbus) that replays one column of a CSV file, in every form.

Holding and input registers of every unit show the row that is due now:
  0-1  float32, ABCD    the value
  2    int16            the value times 10, rounded
  3-4  uint32, ABCD     number of the row
  5-6  float32, CDAB    the value again, words swapped
Any other address is answered with exception 2. Units of --silent-units never answer; all units
that are not named answer exception 11 (gateway target device failed to respond), on a serial line
not at all.

--form is one of tcp, tls (with --certificate and --key, and --ca when clients must show one),
rtu-over-tcp, ascii-over-tcp (all with --port), rtu, ascii (with --path, --baud, --parity).

Every read is logged as one CSV line: unix microseconds, unit, first register, count, row, value.
With --hold-row the replay waits at that row until the signal SIGUSR1.
Standard output says "ready" once the port is open. Used by modbus_peer.rs.
"""

import argparse
import asyncio
import csv
import functools
import signal
import ssl
import struct
import sys
import time

from pymodbus.constants import ExcCodes
from pymodbus.framer import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer, ModbusTlsServer
from pymodbus.simulator import DataType, SimData, SimDevice

REGISTERS = 7


def registers_of(row: int, value: float) -> list[int]:
    high, low = struct.unpack(">HH", struct.pack(">f", value))
    tenths = max(-32768, min(32767, round(value * 10))) & 0xFFFF
    return [high, low, tenths, row >> 16, row & 0xFFFF, low, high]


class Replay:
    """Which row of the file is due, from the time that has passed."""

    def __init__(self, values: list[float], options: argparse.Namespace) -> None:
        self.values, self.per_second = values, options.samples_per_second
        self.first, self.loop, self.hold = options.first_row, options.loop, options.hold_row
        self.started = time.monotonic()

    def now(self) -> tuple[int, float]:
        row = self.first + int((time.monotonic() - self.started) * self.per_second)
        if self.hold is not None:
            row = min(row, self.hold)
        row = row % len(self.values) if self.loop else min(row, len(self.values) - 1)
        return row, self.values[row]

    def go_on(self) -> None:
        if self.hold is not None:
            self.first, self.hold, self.started = self.now()[0], None, time.monotonic()


async def serve_row(replay, log, unit, _function, first, address, count, registers, _written):
    """pymodbus calls this before it answers; `registers` is the unit's memory from `first` on."""
    row, value = replay.now()
    for offset, register in enumerate(registers_of(row, value)):
        registers[offset - first] = register
    log.write(f"{time.time_ns() // 1000},{unit},{address},{count},{row},{value!r}\n")
    log.flush()


async def silence(*_request):
    await asyncio.Event().wait()


async def no_such_unit(*_request):
    return ExcCodes.GATEWAY_NO_RESPONSE


def device(unit: int, action, registers: int = REGISTERS) -> SimDevice:
    memory = SimData(0, values=[0] * registers, datatype=DataType.REGISTERS)
    return SimDevice(unit, simdata=[memory], action=action)


def server(devices: list[SimDevice], options: argparse.Namespace):
    address, form = ("127.0.0.1", options.port), options.form
    if form == "tls":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(options.certificate, options.key)
        if options.ca:
            context.load_verify_locations(options.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return ModbusTlsServer(devices, address=address, sslctx=context)
    framer = {"tcp": FramerType.SOCKET, "rtu": FramerType.RTU, "ascii": FramerType.ASCII}
    framer = framer[form.removesuffix("-over-tcp")]
    if form in ("rtu", "ascii"):
        return ModbusSerialServer(
            devices,
            framer=framer,
            port=options.path,
            baudrate=options.baud,
            parity=options.parity,
            ignore_missing_devices=True,
        )
    return ModbusTcpServer(devices, framer=framer, address=address)


def column(path: str, name: str) -> list[float]:
    with open(path, newline="", encoding="utf-8") as file:
        return [float(row[name]) for row in csv.DictReader(file)]


async def main() -> None:
    units = lambda text: [int(part) for part in text.split(",") if part]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--form", default="tcp")
    parser.add_argument("--port", type=int)
    parser.add_argument("--path")
    parser.add_argument("--baud", type=int, default=19200)
    parser.add_argument("--parity", default="N")
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--ca")
    parser.add_argument("--csv", required=True)
    parser.add_argument("--column", default="value")
    parser.add_argument("--samples-per-second", type=float, default=10.0)
    parser.add_argument("--first-row", type=int, default=0)
    parser.add_argument("--hold-row", type=int, help="wait there for SIGUSR1")
    parser.add_argument("--loop", action="store_true", help="start again at the end of the file")
    parser.add_argument("--units", type=units, default=[1])
    parser.add_argument("--silent-units", type=units, default=[])
    parser.add_argument("--log", required=True)
    options = parser.parse_args()

    values = column(options.csv, options.column)
    replay = Replay(values, options)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, replay.go_on)
    with open(options.log, "a", encoding="utf-8") as log:
        devices = []
        if options.path is None:
            devices = [device(0, no_such_unit, 65535)]  # unit 0 stands for all that are not named
        devices += [device(u, functools.partial(serve_row, replay, log, u)) for u in options.units]
        devices += [device(u, silence) for u in options.silent_units]
        running = server(devices, options)
        await running.listen()
        print("ready", flush=True)
        await running.serving


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
