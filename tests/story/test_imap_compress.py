# SPDX-License-Identifier: Apache-2.0
"""COMPRESS=DEFLATE (RFC 4978) through TLS, with a client whose compressor remembers everything it ever sent."""
import zlib
import pytest
from hato import running
from test_imap import ANN, Imap

pytestmark = pytest.mark.core


class Zipped:
    """Stands in the place of an Imap's file and socket."""
    def __init__(self, imap):
        self.inner, self.buffer = imap.socket, b''
        self.packer, self.unpacker = zlib.compressobj(9, zlib.DEFLATED, -15), zlib.decompressobj(-15)

    def sendall(self, text):
        self.inner.sendall(self.packer.compress(text) + self.packer.flush(zlib.Z_SYNC_FLUSH))

    def more(self):
        got = self.inner.recv(65536)
        assert got, 'the server hung up'
        self.buffer += self.unpacker.decompress(got)

    def read(self, size):
        while len(self.buffer) < size:
            self.more()
        out, self.buffer = self.buffer[:size], self.buffer[size:]
        return out

    def readline(self):
        while b'\n' not in self.buffer:
            self.more()
        return self.read(self.buffer.index(b'\n') + 1)

    def close(self):
        self.inner.close()


def test_a_compressed_session(tmp_path):
    with running(tmp_path, ANN) as server:
        ann = Imap(server, ANN)
        assert 'COMPRESS=DEFLATE' in ann.command('CAPABILITY', 'OK')[0]
        ann.command('COMPRESS GZIP', 'BAD')
        ann.command('COMPRESS DEFLATE', 'OK')
        ann.socket = ann.file = Zipped(ann)
        assert 'COMPRESSIONACTIVE' in ann.command('COMPRESS DEFLATE', 'NO')[-1]
        body = 'Subject: long\r\n\r\n' + ''.join(f'{n} bottles of beer on the wall\r\n' for n in range(20000))
        for _ in range(3):
            ann.command(f'APPEND INBOX {{{len(body)}+}}\r\n{body}', 'OK')
        ann.command('SELECT INBOX', 'OK')
        assert ann.command('FETCH 1:3 BODY.PEEK[]', 'OK')[2].endswith(body + ')\r\n')
        for n in range(50):  # parked in between; a pipeline in one packet
            ann.command(f'UID FETCH 1:* (FLAGS UID)\r\nx{n} NOOP', 'OK')
            ann.until(f'x{n} ')
        other = Imap(server, ANN)
        ann.send('i IDLE\r\n')
        ann.until('+')
        other.command('APPEND INBOX {9+}\r\nA: 1\r\n\r\n1', 'OK')
        assert '* 4 EXISTS' in ann.line()
        ann.send('DONE\r\n')
        ann.until('i ')
        ann.socket.inner.sendall(b'\xff' * 100)  # what is no DEFLATE ends the session
        with pytest.raises((AssertionError, OSError)):
            ann.file.readline()
        other.command('NOOP', 'OK')
