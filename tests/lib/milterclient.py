# SPDX-License-Identifier: Apache-2.0
"""The mail server's side of the milter protocol, for asking a real filter (OpenDKIM) what it would do with a message."""
import re, socket, struct, subprocess
from around import *

LEADING_SPACE = 0x00100000


def daemon(folder, program, conf, socket_path):
    """Starts opendkim (or its like) in the foreground and waits for its socket."""
    with open(f'{folder}/{program}.conf', 'w') as f:
        f.write(conf)
    process = subprocess.Popen([program, '-f', '-x', f'{folder}/{program}.conf'], stdin=subprocess.DEVNULL,
                               stdout=open(f'{folder}/{program}.log', 'ab'), stderr=subprocess.STDOUT)

    def answers():
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(socket_path) == 0
    wait_until(answers, what=program)
    return process


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20 * SLOW)
        self.socket.connect(path)

    def send(self, command, data=b''):
        self.socket.sendall(struct.pack('>I', len(data) + 1) + command + data)

    def receive(self):
        data = b''
        while len(data) < 4:
            data += self.socket.recv(4 - len(data)) or b'?' * 4
        (size,) = struct.unpack('>I', data)
        data = b''
        while len(data) < size:
            data += self.socket.recv(size - len(data))
        return data[:1], data[1:]

    def ask(self, command, data=b''):
        self.send(command, data)
        code, _ = self.receive()
        assert code in b'ca', code
        return code

    def filter(self, mail, client='127.0.0.1', sender='joe@signer.test', recipient='ann@receiver.test'):
        """[(name, value)] of the fields that the filter inserts before the message."""
        header, _, body = mail.partition(b'\r\n\r\n')
        self.send(b'O', struct.pack('>III', 6, 0x1ff, LEADING_SPACE))
        code, data = self.receive()
        assert code == b'O'
        leading = struct.unpack('>III', data[:12])[2] & LEADING_SPACE
        self.send(b'D', b'Cj\0mx.receiver.test\0')
        self.ask(b'C', b'host.signer.test\0' + b'4' + struct.pack('>H', 25) + client.encode() + b'\0')
        self.ask(b'H', b'host.signer.test\0')
        self.send(b'D', b'Mi\0001234ABCD\0')
        self.ask(b'M', f'<{sender}>\0'.encode())
        self.ask(b'R', f'<{recipient}>\0'.encode())
        for field in re.split(rb'\r\n(?![ \t])', header):
            name, _, value = field.partition(b':')
            value = value if leading else value[1:] if value.startswith(b' ') else value
            self.ask(b'L', name + b'\0' + value.replace(b'\r\n', b'\n') + b'\0')
        self.ask(b'N')
        for at in range(0, len(body), 60000):
            self.ask(b'B', body[at:at + 60000])
        self.send(b'E')
        added = []
        while True:
            code, data = self.receive()
            if code in b'ih':
                data = data[4:] if code == b'i' else data
                name, value = data.split(b'\0')[:2]
                added.append((name.decode(), value.decode()))
            elif code in b'acrdty':
                assert code in b'ac', (code, data)
                return added

    def close(self):
        self.send(b'Q')
        self.socket.close()
