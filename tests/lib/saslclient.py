# SPDX-License-Identifier: Apache-2.0
"""A SASL client for IMAP, POP3 and SMTP with SCRAM (RFC 5802, 7677) and channel binding, from the RFCs alone. One call logs in
over an open connection; what each side said can be bent, to see that a bent exchange is refused."""
import base64, hashlib, hmac, os, ssl


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


class Refused(Exception):
    pass


class Wire:
    """Lines of one of the three protocols. begin() starts an exchange, say() answers a challenge; both give the next challenge
    as bytes, or None when logged in; Refused otherwise."""
    def __init__(self, server, protocol, tls=True):
        import socket
        from around import NO_NAME, SLOW
        self.protocol = protocol
        wrapped = {'imap': 'imaps', 'pop3': 'pop3s', 'smtp': 'smtps'}[protocol]
        plain = {'imap': 'imap', 'pop3': 'pop3', 'smtp': 'submission'}[protocol]
        self.socket = socket.create_connection((server.address, server.ports[wrapped if tls else plain]), 20 * SLOW)
        if tls:
            context = tls if isinstance(tls, ssl.SSLContext) else NO_NAME
            self.socket = context.wrap_socket(self.socket)
        self.file = self.socket.makefile('rb')
        self.line()
        if protocol == 'smtp':
            self.send('EHLO client.test')
            self.hello = ''
            while True:
                line = self.line()
                self.hello += line + '\n'
                if line[3:4] == ' ':
                    break

    def send(self, line):
        self.socket.sendall(line.encode() + b'\r\n')

    def line(self):
        return self.file.readline().decode().rstrip('\r\n')

    def capabilities(self):
        if self.protocol == 'smtp':
            return self.hello
        self.send('x CAPABILITY' if self.protocol == 'imap' else 'CAPA')
        lines = []
        while True:
            lines.append(self.line())
            if lines[-1].startswith('x ') or lines[-1] == '.':
                return '\n'.join(lines)

    def answer(self):
        line = self.line()
        head = '334 ' if self.protocol == 'smtp' else '+ '
        if line.startswith(head):
            return base64.b64decode(line[len(head):])
        self.last = line
        if line.startswith({'imap': 'a OK', 'pop3': '+OK', 'smtp': '235'}.get(self.protocol)) or ('a OK' in line and self.protocol == 'imap'):
            return None
        raise Refused(line)

    def begin(self, mechanism, initial=None):
        words = {'imap': 'a AUTHENTICATE', 'pop3': 'AUTH', 'smtp': 'AUTH'}[self.protocol]
        self.send(f'{words} {mechanism}' + ('' if initial is None else ' ' + (b64(initial) or '=')))
        return self.answer()

    def say(self, data):
        self.send(b64(data))
        return self.answer()

    def leave(self):
        """POP3 lets one in at a time: the next may come when QUIT is answered."""
        if self.protocol == 'pop3':
            self.send('QUIT')
            self.line()
        self.socket.close()


def plain(wire, user, password, authzid='', initial=True):
    message = f'{authzid}\0{user}\0{password}'
    if initial:
        return wire.begin('PLAIN', message)
    assert wire.begin('PLAIN') == b''
    return wire.say(message)


def login(wire, user, password):
    assert wire.begin('LOGIN') == b'Username:'
    assert wire.say(user) == b'Password:'
    return wire.say(password)


def end_point(wire):
    from cryptography import x509
    raise NotImplementedError


def scram(wire, user, password, mechanism='SCRAM-SHA-256', flag=None, binding=b'', authzid='', bend=lambda what, value: value, initial=True):
    """bend(what, value) may change 'nonce', 'proof', 'binding', 'end' before they are sent. Checks the server's signature."""
    digest = hashlib.sha256 if '256' in mechanism else hashlib.sha1
    header = f'{flag or "n"},{"a=" + authzid if authzid else ""},'
    nonce = b64(os.urandom(12))
    first = f'n={user.replace("=", "=3D").replace(",", "=2C")},r={nonce}'
    if initial:
        second = wire.begin(mechanism, header + first)
    else:
        assert wire.begin(mechanism) == b''
        second = wire.say(header + first)
    fields = dict(f.split('=', 1) for f in second.decode().split(','))
    assert fields['r'].startswith(nonce) and len(fields['r']) > len(nonce) + 15
    salted = hashlib.pbkdf2_hmac(digest().name, password.encode(), base64.b64decode(fields['s']), int(fields['i']))
    without = f'c={bend("binding", b64(header.encode() + binding))},r={bend("nonce", fields["r"])}'
    message = ','.join((first, second.decode(), without)).encode()
    key = hmac.new(salted, b'Client Key', digest).digest()
    signature = hmac.new(digest(key).digest(), message, digest).digest()
    proof = bytes(a ^ b for a, b in zip(key, signature))
    last = wire.say(f'{without},p={b64(bend("proof", proof))}')
    assert last == b'v=' + b64(hmac.new(hmac.new(salted, b'Server Key', digest).digest(), message, digest).digest()).encode(), last
    return wire.say(bend('end', ''))
