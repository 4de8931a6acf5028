"""A third-party Modbus server (pymodbus): holding registers that a test sets, and coils that an alarm
system switches. Each line that is added to the file of --orders is `REGISTER VALUE`; it holds from that
moment on. Prints `ready` first. The file of --log has one line of JSON for each order that took hold, and
for each coil that was written."""

import argparse
import asyncio
import json
import time

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

REGISTERS = 64
COILS = 16
WRITE_COIL = (5, 15)


async def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--orders", required=True)
    arguments.add_argument("--log", required=True)
    options = arguments.parse_args()
    log = open(options.log, "a", encoding="utf-8")
    values = [0] * REGISTERS

    def note(what, **more):
        log.write(json.dumps({"time_us": time.time_ns() // 1000, "what": what, **more}) + "\n")
        log.flush()

    async def action(function, first, address, count, registers, written):
        if function in WRITE_COIL and written is not None:
            note("coil", address=address, on=bool(written[0]))
        elif function == 3:
            for at in range(address, address + count):
                registers[at - first] = values[at]

    bits = SimData(0, values=[False] * COILS, datatype=DataType.BITS)
    words = SimData(0, values=[0] * REGISTERS, datatype=DataType.REGISTERS)
    device = SimDevice(1, simdata=([bits], [bits], [words], [words]), action=action)
    server = ModbusTcpServer(device, address=("127.0.0.1", options.port))
    await server.serve_forever(background=True)
    print("ready", flush=True)
    with open(options.orders, "a+", encoding="utf-8") as orders:
        orders.seek(0)
        while True:
            for line in orders:
                register, value = line.split()
                values[int(register)] = int(value)
                note("register", register=int(register), value=int(value))
            await asyncio.sleep(0.005)


if __name__ == "__main__":
    asyncio.run(main())
