"""aiosmtpd as a mail server on the LAN, with STARTTLS and a password where it is told so. Prints `ready`
first; each mail it takes is a line of JSON in the file of --log."""

import argparse
import email
import email.policy
import json
import ssl
import time

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--log", required=True)
    arguments.add_argument("--certificate")
    arguments.add_argument("--key")
    arguments.add_argument("--user")
    arguments.add_argument("--password")
    options = arguments.parse_args()
    log = open(options.log, "a", encoding="utf-8")

    class Handler:
        async def handle_DATA(self, server, session, envelope):
            mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
            log.write(json.dumps({
                "time_us": time.time_ns() // 1000,
                "from": envelope.mail_from,
                "to": envelope.rcpt_tos,
                "subject": mail["Subject"],
                "text": mail.get_content(),
                "id": mail["Message-ID"],
                "tls": session.ssl is not None,
                "authenticated": session.authenticated,
            }) + "\n")
            log.flush()
            return "250 taken"

    def authenticate(server, session, envelope, mechanism, data):
        good = data.login.decode() == options.user and data.password.decode() == options.password
        return AuthResult(success=good)

    more = {}
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate, options.key)
        more = {"tls_context": context, "require_starttls": True}
    if options.user:
        more |= {"authenticator": authenticate, "auth_required": True}
    controller = Controller(Handler(), hostname="127.0.0.1", port=options.port, **more)
    controller.start()
    print("ready", flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
