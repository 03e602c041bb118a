# SPDX-License-Identifier: Apache-2.0
"""A milter on the raw wire (libmilter's protocol): it writes down all it is told, with the macros, and answers as its script
says. Hostile ones too: it can hang, lie and hang up."""
import os, socket, struct, threading

CONTINUE, ACCEPT, REJECT, TEMPFAIL, DISCARD, SKIP = b'c', b'a', b'r', b't', b'd', b's'
HANG = object()      # no answer, the connection stays open
HANG_UP = object()   # the connection is closed
NAMES = {'C': 'connect', 'H': 'helo', 'M': 'mail', 'R': 'rcpt', 'T': 'data', 'L': 'header', 'N': 'eoh', 'B': 'body',
         'E': 'eom', 'A': 'abort', 'Q': 'quit', 'U': 'unknown', 'O': 'offer'}


def text(*parts):
    return b'\0'.join(p if isinstance(p, bytes) else p.encode() for p in parts) + b'\0'


def reply(code_and_text):
    return b'y' + text(code_and_text)


def add(name, value):
    return b'h' + text(name, value)


def insert(index, name, value):
    return b'i' + struct.pack('>I', index) + text(name, value)


def change(index, name, value):
    return b'm' + struct.pack('>I', index) + text(name, value)


def add_rcpt(address, args=None):
    return b'+' + text(address) if args is None else b'2' + text(address, args)


def del_rcpt(address):
    return b'-' + text(address)


def sender(address, args=None):
    return b'e' + (text(address) if args is None else text(address, args))


def body(piece):
    return b'b' + piece


def quarantine(why):
    return b'q' + text(why)


class Milter:
    """answers: {'mail': bytes | [bytes, …] | function(data) | HANG | HANG_UP}; what is not there is 'continue'.
    listen: a path, or a port of 127.0.0.1 (0: any)."""
    def __init__(self, listen=0, answers=None, actions=0x1ff, steps=0, version=6, macros=None, raw_offer=None):
        self.answers, self.actions, self.steps, self.version = dict(answers or {}), actions, steps, version
        self.wanted_macros, self.raw_offer = macros or {}, raw_offer
        self.events, self.sessions, self.lock = [], [], threading.Lock()
        if isinstance(listen, int):
            self.socket = socket.create_server(('127.0.0.1', listen))
            self.spec = f'inet:127.0.0.1:{self.socket.getsockname()[1]}'
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.bind(listen)
            os.chmod(listen, 0o777)
            self.socket.listen(100)
            self.spec = f'unix:{listen}'
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.socket.close()

    def of(self, kind):
        """What came of that kind: a list of (macros, data)."""
        with self.lock:
            return [(m, d) for k, m, d in self.events if k == kind]

    def header(self):
        return [tuple(d.split(b'\0')[:2]) for _, d in self.of('header')]

    def _accept(self):
        while True:
            try:
                conn, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        try:
            self._session(conn)
        except (OSError, EOFError):
            pass
        finally:
            conn.close()

    def _session(self, conn):
        def read(n):
            got = b''
            while len(got) < n:
                piece = conn.recv(n - len(got))
                if not piece:
                    raise EOFError
                got += piece
            return got

        def put(packet):
            conn.sendall(struct.pack('>I', len(packet)) + packet)

        macros = {}
        while True:
            packet = read(struct.unpack('>I', read(4))[0])
            letter, data = chr(packet[0]), packet[1:]
            if letter == 'D':
                words = data[1:].split(b'\0')[:-1]
                macros[chr(data[0])] = dict(zip([w.decode() for w in words[::2]], [w.decode() for w in words[1::2]]))
                continue
            kind = NAMES[letter]
            with self.lock:
                self.events.append((kind, macros.pop(letter, None), data))
            if kind == 'quit':
                return
            if kind == 'abort':
                continue
            if kind == 'offer':
                if self.raw_offer is not None:
                    conn.sendall(self.raw_offer)
                    continue
                version, actions, steps = struct.unpack('>III', data[:12])
                put(b'O' + struct.pack('>III', min(version, self.version), actions & self.actions, steps & self.steps) +
                    b''.join(struct.pack('>I', stage) + text(names) for stage, names in self.wanted_macros.items()))
                continue
            answer = self.answers.get(kind, CONTINUE)
            if callable(answer):
                answer = answer(data)
            if answer is HANG_UP:
                return
            if answer is HANG:
                threading.Event().wait(60)
                return
            silent = {'connect': 0x1000, 'helo': 0x2000, 'mail': 0x4000, 'rcpt': 0x8000, 'data': 0x10000, 'unknown': 0x20000,
                      'eoh': 0x40000, 'body': 0x80000, 'header': 0x80}.get(kind, 0)
            if answer is None or (silent & self.steps and kind not in self.answers):
                continue
            for one in answer if isinstance(answer, list) else [answer]:
                put(one)
