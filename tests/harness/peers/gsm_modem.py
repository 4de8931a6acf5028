"""A GSM modem on a pseudo terminal, as far as an alarm system speaks with one: SIM with PIN, network,
messages in PDU and text mode, messages that come in, voice calls. Our own, for a modem is hardware; what
the box sends is decoded by smspdudecoder, which is not ours.

Prints `ready PATH` first. Events go to the file of --log as JSON, one a line. Orders are lines that are
added to the file of --orders, each JSON:
{"deliver": {"from": "+49…", "text": "OK 1"}}, {"network": false}, {"hang": true}, {"busy": true}
"""

import argparse
import json
import os
import select
import time
import tty
from io import StringIO

from smspdudecoder.codecs import UCS2
from smspdudecoder.fields import SMSDeliver, SMSSubmit


class Modem:
    def __init__(self, log, pin):
        self.log = log
        self.pin = pin
        self.locked = bool(pin)
        self.pdu_mode = False
        self.charset = "IRA"
        self.network = True
        self.busy = False
        self.hangs = False
        self.echo = True
        self.places = {}
        self.reference = 0
        self.waits_for_text = None
        self.call = None
        self.out = b""

    def note(self, what, **more):
        self.log.write(json.dumps({"time_us": time.time_ns() // 1000, "what": what, **more}) + "\n")
        self.log.flush()

    def say(self, text):
        self.out += f"\r\n{text}\r\n".encode()

    def order(self, order):
        if "deliver" in order:
            place = max(self.places, default=0) + 1
            self.places[place] = order["deliver"]
            self.say(f'+CMTI: "SM",{place}')
        if "network" in order:
            self.network = order["network"]
        if "busy" in order:
            self.busy = order["busy"]
        if "hang" in order:
            self.hangs = order["hang"]

    def text(self, data):
        """The text of a message, after its prompt."""
        what = self.waits_for_text
        self.waits_for_text = None
        if not self.network:
            return self.say("+CMS ERROR: 331")
        try:
            if self.pdu_mode:
                pdu = data.decode().strip()
                length = int(what)
                assert length == len(pdu) // 2 - 1 - int(pdu[:2], 16), "the length is wrong"
                read = SMSSubmit.decode(StringIO(pdu))
                to = read["recipient"]["number"]
                if read["recipient"]["toa"]["ton"] == "international":
                    to = "+" + to
                text = read["user_data"]["data"]
            elif self.charset == "UCS2":
                to, text = UCS2.decode(what), UCS2.decode(data.decode())
            else:
                to, text = what, data.decode("ascii")
        except Exception as error:
            self.note("unreadable", words=repr(error), data=data.decode(errors="replace"))
            return self.say("+CMS ERROR: 304")
        self.note("message", to=to, text=text)
        self.reference = self.reference % 255 + 1
        self.say(f"+CMGS: {self.reference}")
        self.say("OK")

    def read(self, place):
        message = self.places.get(place)
        if message is None:
            return self.say("+CMS ERROR: 321")
        if self.pdu_mode:
            pdu = deliver(message)
            self.say(f"+CMGR: 0,,{len(pdu) // 2 - 1}")
            self.out += f"{pdu}\r\n".encode()
        else:
            self.say(f'+CMGR: "REC UNREAD","{message["from"]}",,"26/11/30,10:00:00+04"')
            self.out += (message["text"] + "\r\n").encode()
        self.say("OK")

    def command(self, line):
        if self.echo:
            self.out += line.encode() + b"\r"
        name = line.upper()
        if name == "AT":
            self.say("OK")
        elif name in ("ATE0", "ATE1"):
            self.echo = name == "ATE1"
            self.say("OK")
        elif name == "AT+CPIN?":
            self.say("+CPIN: SIM PIN" if self.locked else "+CPIN: READY")
            self.say("OK")
        elif name.startswith("AT+CPIN="):
            given = line.split("=", 1)[1].strip('"')
            self.note("pin", given=given)
            if given == self.pin:
                self.locked = False
                self.say("OK")
            else:
                self.say("+CME ERROR: 16")
        elif self.locked and not name.startswith("AT+CMEE"):
            self.say("+CME ERROR: 11")
        elif name == "AT+CREG?":
            self.say(f"+CREG: 0,{1 if self.network else 2}")
            self.say("OK")
        elif name == "AT+CSQ":
            self.say("+CSQ: 18,0" if self.network else "+CSQ: 99,99")
            self.say("OK")
        elif name.startswith("AT+CMGF="):
            self.pdu_mode = name.endswith("0")
            self.say("OK")
        elif name.startswith("AT+CSCS="):
            self.charset = line.split('"')[1]
            self.say("OK")
        elif name.startswith("AT+CMGS="):
            self.waits_for_text = line.split("=", 1)[1].strip('"')
            self.out += b"\r\n> "
        elif name.startswith("AT+CMGL="):
            for place, message in sorted(self.places.items()):
                if self.pdu_mode:
                    pdu = deliver(message)
                    self.say(f"+CMGL: {place},1,,{len(pdu) // 2 - 1}")
                    self.out += f"{pdu}\r\n".encode()
            self.say("OK")
        elif name.startswith("AT+CMGR="):
            self.read(int(line.split("=")[1]))
        elif name.startswith("AT+CMGD="):
            self.places.pop(int(line.split("=")[1]), None)
            self.say("OK")
        elif name.startswith("ATD"):
            number = line[3:].rstrip(";")
            self.note("call", to=number, voice=line.endswith(";"))
            if not self.network:
                return self.say("NO CARRIER")
            if self.busy:
                return self.say("BUSY")
            self.call = time.monotonic()
            self.say("OK")
        elif name == "AT+CLCC":
            if self.call is not None:
                rings = time.monotonic() - self.call > 1.0
                self.say(f'+CLCC: 1,0,{3 if rings else 2},0,0,"",128')
            self.say("OK")
        elif name in ("ATH", "AT+CHUP"):
            if self.call is not None:
                self.note("hung up", after_s=time.monotonic() - self.call)
            self.call = None
            self.say("OK")
        elif name.startswith("AT+CMEE") or name.startswith("AT+CNMI") or name.startswith("AT+CSMP"):
            self.say("OK")
        else:
            self.note("unknown", line=line)
            self.say("ERROR")

    def feed(self, buffer):
        """Takes what is whole off the buffer and gives back the rest."""
        while buffer:
            if buffer[:1] == b"\x1b":
                self.waits_for_text = None
                buffer = buffer[1:]
                continue
            if self.waits_for_text is not None:
                end = buffer.find(b"\x1a")
                if end < 0:
                    return buffer
                self.text(buffer[:end])
                buffer = buffer[end + 1:]
                continue
            end = buffer.find(b"\r")
            if end < 0:
                return buffer
            line = buffer[:end].decode(errors="replace").strip()
            buffer = buffer[end + 1:]
            if line:
                self.command(line)
        return buffer


def deliver(message):
    """A DELIVER, made by hand: smspdudecoder reads and does not write it."""
    digits = message["from"].lstrip("+")
    padded = digits + ("F" if len(digits) % 2 else "")
    number = "".join(padded[at + 1] + padded[at] for at in range(0, len(padded), 2))
    text = message["text"].encode("utf-16-be").hex().upper()
    kind = "91" if message["from"].startswith("+") else "81"
    pdu = f"0004{len(digits):02X}{kind}{number}000862110300000040{len(text) // 2:02X}{text}"
    # The decoder reads it as the modem would have it from the network.
    assert SMSDeliver.decode(StringIO(pdu))["user_data"]["data"] == message["text"]
    return pdu


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--log", required=True)
    arguments.add_argument("--orders", required=True)
    arguments.add_argument("--link", required=True)
    arguments.add_argument("--pin", default="")
    options = arguments.parse_args()
    master, slave = os.openpty()
    tty.setraw(slave)
    path = os.ttyname(slave)
    if os.path.islink(options.link):
        os.unlink(options.link)
    os.symlink(path, options.link)
    log = open(options.log, "a", encoding="utf-8")
    modem = Modem(log, options.pin)
    print(f"ready {path}", flush=True)
    buffer = b""
    orders = open(options.orders, "a+", encoding="utf-8")
    orders.seek(0)
    while True:
        readable, _, _ = select.select([master], [], [], 0.02)
        for line in orders:
            modem.order(json.loads(line))
        if master in readable:
            buffer += os.read(master, 4096)
            if modem.hangs:
                buffer = b""
            buffer = modem.feed(buffer)
        if modem.out:
            os.write(master, modem.out)
            modem.out = b""


if __name__ == "__main__":
    main()
