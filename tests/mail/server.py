"""A mail server for one test: signing in is required, mails become files.

server.py FOLDER MECHANISMS_LEFT_OUT SPEAKS

SPEAKS: starttls (TLS is required before anything else), tls (from the first byte), clear (no TLS is offered,
and a password taken). FOLDER holds cert.pem and key.pem. The port is written to FOLDER/port; mails go to
FOLDER/mails, one a file, in the order in which they came; what was said without TLS to FOLDER/clear.
FOLDER/mode says how it behaves, at each moment: ok; refuse (no connection
is answered); hang (nothing is said); 451 (try again); 550 (no such person); 535 (the password is wrong);
drop (the connection ends after DATA); mute (the mail is kept, and the connection ends without an answer).
"""

import asyncio
import email
import email.header
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

FOLDER = sys.argv[1]
LEFT_OUT = [name for name in sys.argv[2].split(",") if name]
SPEAKS = sys.argv[3]
USER, PASSWORD = b"ops", b"s3cr3t pass"
HANGS_SECS = 3600


def mode():
    try:
        with open(os.path.join(FOLDER, "mode"), encoding="ascii") as file:
            return file.read().strip()
    except FileNotFoundError:
        return "ok"


class Handler:
    count = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if mode() == "451":
            return "451 4.3.0 try again later"
        if mode() == "550":
            return "550 5.1.1 there is no such person"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        folder = os.path.join(FOLDER, "mails")
        Handler.count += 1
        name = f"{Handler.count:04}"
        subject = email.message_from_bytes(envelope.content)["Subject"]
        subject = str(email.header.make_header(email.header.decode_header(subject)))
        head = f"X-Test-To: {','.join(envelope.rcpt_tos)}\r\nX-Test-Subject: {subject}\r\n"
        with open(os.path.join(folder, name + ".new"), "wb") as file:
            file.write(head.encode() + envelope.content)
        os.rename(os.path.join(folder, name + ".new"), os.path.join(folder, name + ".eml"))
        if mode() == "mute":
            server.transport.abort()
            return "250 2.0.0 nobody hears this"
        return "250 2.0.0 ok"


class Server(SMTP):
    def data_received(self, data):
        if self.transport is None or self.transport.get_extra_info("ssl_object") is None:
            with open(os.path.join(FOLDER, "clear"), "ab") as file:
                file.write(data)
        super().data_received(data)

    async def _handle_client(self):
        if mode() == "refuse":
            self.transport.abort()
            return
        if mode() == "hang":
            await asyncio.sleep(HANGS_SECS)
        await super()._handle_client()

    async def smtp_DATA(self, arg):
        if mode() == "drop":
            self.transport.abort()
            return
        await super().smtp_DATA(arg)


def authenticate(server, session, envelope, mechanism, data):
    is_right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER, PASSWORD)
    return AuthResult(success=is_right and mode() != "535", handled=False)


async def main():
    os.makedirs(os.path.join(FOLDER, "mails"), exist_ok=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(FOLDER, "cert.pem"), os.path.join(FOLDER, "key.pem"))
    factory = lambda: Server(
        Handler(),
        hostname="localhost",
        tls_context=context if SPEAKS == "starttls" else None,
        require_starttls=SPEAKS == "starttls",
        auth_required=True,
        # It does not know of TLS that was there before it.
        auth_require_tls=SPEAKS == "starttls",
        auth_exclude_mechanism=LEFT_OUT,
        authenticator=authenticate,
    )
    around = context if SPEAKS == "tls" else None
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0, ssl=around)
    port = server.sockets[0].getsockname()[1]
    with open(os.path.join(FOLDER, "port.new"), "w", encoding="ascii") as file:
        file.write(str(port))
    os.rename(os.path.join(FOLDER, "port.new"), os.path.join(FOLDER, "port"))
    await server.serve_forever()


asyncio.run(main())
