"""A receiver of webhooks that works, refuses, hangs or acknowledges, as the file of --mode says: `ok`,
`fail`, `hang`, `acknowledge NAME`. Checks the signature by itself. Prints `ready` first; each request is a
line of JSON in the file of --log."""

import argparse
import base64
import hashlib
import hmac
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--log", required=True)
    arguments.add_argument("--mode", required=True)
    arguments.add_argument("--secret", default="")
    options = arguments.parse_args()
    log = open(options.log, "a", encoding="utf-8")

    class Receiver(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            mode = open(options.mode, encoding="utf-8").read().strip()
            stamp = self.headers.get("webhook-timestamp", "0")
            signed = f"{self.headers['webhook-id']}.{stamp}.".encode() + body
            wanted = "v1," + base64.b64encode(
                hmac.new(options.secret.encode(), signed, hashlib.sha256).digest()).decode()
            fresh = abs(time.time() - int(stamp)) < 60
            log.write(json.dumps({
                "time_us": time.time_ns() // 1000,
                "mode": mode,
                "path": self.path,
                "key": self.headers["Idempotency-Key"],
                "signed": fresh and hmac.compare_digest(wanted, self.headers.get("webhook-signature", "")),
                "body": json.loads(body),
            }) + "\n")
            log.flush()
            if mode == "hang":
                time.sleep(3600)
            answer = b"{}"
            if mode.startswith("acknowledge "):
                answer = json.dumps({"acknowledge": True, "by": mode.split(" ", 1)[1]}).encode()
            self.send_response(503 if mode == "fail" else 200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    server = ThreadingHTTPServer(("127.0.0.1", options.port), Receiver)
    server.daemon_threads = True
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
