"""A client of a broker (paho) that hears everything, and publishes what it is told to. Prints `ready`
first; each message is a line of JSON in the file of --log; each line that is added to the file of --orders
is `TOPIC JSON` and is published."""

import argparse
import json
import time

import paho.mqtt.client as mqtt


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--log", required=True)
    arguments.add_argument("--orders", required=True)
    options = arguments.parse_args()
    log = open(options.log, "a", encoding="utf-8")

    def heard(client, data, message):
        now = time.time_ns() // 1000
        text = message.payload.decode()
        log.write(json.dumps({"time_us": now, "topic": message.topic, "body": json.loads(text)}) + "\n")
        log.flush()

    def connected(client, data, flags, reason, properties):
        client.subscribe("#", qos=1)

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="listener")
    client.on_message = heard
    client.on_connect = connected
    client.on_subscribe = lambda *_: print("ready", flush=True)
    client.reconnect_delay_set(1, 1)
    client.connect("127.0.0.1", options.port, keepalive=10)
    client.loop_start()
    with open(options.orders, "a+", encoding="utf-8") as orders:
        orders.seek(0)
        while True:
            for line in orders:
                topic, body = line.split(" ", 1)
                client.publish(topic, body.strip(), qos=1)
            time.sleep(0.02)


if __name__ == "__main__":
    main()
