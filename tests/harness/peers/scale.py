"""A third-party scale that is asked: mt-sics-emulator, an analytical balance with the MT-SICS command set,
on a serial line.

Each line that is added to the file of --orders is `WEIGHT`, or `WEIGHT moving`: what lies on it from that
moment on. Prints `ready` first. The file of --log has one line of JSON for each order that took hold. Ours is
only what opens the line and puts weights on.
"""

import argparse
import asyncio
import json
import time

from mtsics import profiles
from mtsics.core.state import ScaleState
from mtsics.protocol.engine import MTSICSEngine
from mtsics.transport.serial import SerialConfig, SerialTransport

PROFILE = "mt-xs204"


async def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--path", required=True)
    arguments.add_argument("--baud", type=int, required=True)
    arguments.add_argument("--orders", required=True)
    arguments.add_argument("--log", required=True)
    options = arguments.parse_args()
    log = open(options.log, "a", encoding="utf-8")
    scale = ScaleState(config=profiles.load(PROFILE))
    settings = SerialConfig(port=options.path, baudrate=options.baud)
    line = SerialTransport(MTSICSEngine(scale), cfg=settings)
    await line.open()
    serving = asyncio.create_task(line.serve_forever())
    print("ready", flush=True)
    with open(options.orders, "a+", encoding="utf-8") as orders:
        orders.seek(0)
        while not serving.done():
            for order in orders:
                weight, *moving = order.split()
                scale.set_weight(float(weight), stable=not moving)
                note = {"time_us": time.time_ns() // 1000, "weight": float(weight), "moving": bool(moving)}
                log.write(json.dumps(note) + "\n")
                log.flush()
            await asyncio.sleep(0.005)
    await serving


if __name__ == "__main__":
    asyncio.run(main())
