"""A third-party NMEA 0183 device: the GNSS simulator nmeasim, on a serial line.

It sends the sentences GGA, VTG and RMC twice a second, as a receiver that moves north at 3,600 km/h.
Ours is only what opens the line and sets the simulator. Used by nmea_device.rs.
"""

import argparse
import datetime

import serial
from nmeasim.models import GpsReceiver
from nmeasim.simulator import Simulator

parser = argparse.ArgumentParser()
parser.add_argument("--path", required=True)
parser.add_argument("--baud", type=int, required=True)
options = parser.parse_args()

receiver = GpsReceiver(
    output=("GGA", "VTG", "RMC"),
    date_time=datetime.datetime(2026, 11, 30, 12, 0, 0, tzinfo=datetime.timezone.utc),
    lat=48.1173,
    lon=11.5167,
    altitude=545.4,
    kph=3600.0,
    heading=0.0,
    num_sats=8,
)
device = Simulator(gps=receiver, heading_variation=0)
device.interval = 0.5
device.step = 0.5
with serial.Serial(options.path, options.baud, timeout=1) as line:
    print("ready", flush=True)
    device.serve(output=line)
