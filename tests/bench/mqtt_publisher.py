"""The peer of the wire bench: publishes readings as JSON over MQTT (paho), as gateways commonly do.

Reads CSV lines `time_ms,sensor,value` from standard input, oldest first, and publishes them with
QoS 1, either one message per reading or one per poll (all values of one time stamp). Waits until
the broker has acknowledged everything, then prints how many messages it sent.
"""

import argparse
import itertools
import json
import sys
from datetime import datetime, timezone

import paho.mqtt.client as mqtt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--per-poll", action="store_true")
    options = parser.parse_args()

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="gateway-1", protocol=mqtt.MQTTv5)
    client.max_queued_messages_set(0)
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", options.port, keepalive=60)
    client.loop_start()

    sent = []
    rows = (line.rstrip("\n").split(",") for line in sys.stdin)
    for time_ms, poll in itertools.groupby(rows, key=lambda row: row[0]):
        stamp = datetime.fromtimestamp(int(time_ms) / 1000, timezone.utc)
        text = stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        values = {sensor: float(value) for _, sensor, value in poll}
        if options.per_poll:
            body = json.dumps({"time": text, "values": values}, separators=(",", ":"))
            sent.append(client.publish("plant/gateway-1/line-1", body, qos=1))
        else:
            for sensor, value in values.items():
                body = {"time": text, "value": value, "quality": "good"}
                body = json.dumps(body, separators=(",", ":"))
                sent.append(client.publish(f"plant/gateway-1/line-1/{sensor}", body, qos=1))
    for message in sent:
        message.wait_for_publish(timeout=120)
        if not message.is_published():
            sys.exit("the broker did not acknowledge everything")
    client.disconnect()
    client.loop_stop()
    print(len(sent))


if __name__ == "__main__":
    main()
