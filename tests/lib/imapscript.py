# SPDX-License-Identifier: Apache-2.0
"""Plays IMAP dialogues written as text (tests/data/imap/FAMILY/NAME.txt) against a running hato, over plain TCP.

A file holds cases. Each case has an account of its own, with the mailboxes every new account has, and connections of its own:

    == copying to a mailbox that does not exist
    @append INBOX 3
    C: a SELECT INBOX
    S* a OK ...
    C: b COPY 1 Nowhere
    S: b NO [TRYCREATE] ...

Text before the first "==" is played at the head of every case of the file. "#" begins a comment line, empty lines are nothing.
Every case is played twice: as it stands, and with each byte of a client sent by itself.

What the client says
    C: text        text and CRLF
    C- te\\r\\nxt    just this; \\r \\n \\0 \\t \\\\ \\xHH are understood. For pipelines, literals, and lines that are no lines
What must come back
    S: pattern     the next line is this
    S* pattern     one of the next lines is this, what comes before it does not matter
    S~ pattern     a group of S~ lines in a row: they come in any order, and nothing in between
    S! pattern     no line that the following S* passes over fits this (any number of S! before one S*)
    S.             the server closes the connection
A line of the server is what ends with CRLF, so a literal's lines are lines like any other:
    S: * 1 FETCH (BODY[HEADER] {16}
    S: Subject: one
    S:
    S: )
In a pattern everything stands for itself, capitals matter, but
    ...            anything, also nothing
    {n}            a number
    {n:name}       a number, kept as {name} for later lines, of the server or the client; the second time it must be the same number
    {s:name}       the same for a run of characters other than blank, ) and ]
    {name}         what was kept. {name+1}, {name-1}: a number near it
    {5}            a literal's size, as it is; "{ann}" and the like: see @login
Several clients: C2: S2: … C9: S9:. Client 1 may be written without its number. A client connects and logs in when it is first
mentioned. All lines of a case are played in the order they stand in.

Preparation, in a line of its own
    @append BOX [(flags)] N            N small messages: "Subject: message K", Date: the K-th of March 2026 12:00 +0000, body "Body K."
    @append BOX [(flags)] te\\r\\nxt     one message, escapes as in C-
                                       (both over a connection of their own, before the next line is played; in the account of @as)
    @create BOX
    @login N name                      client N logs in as another account, made for this case: {name} is its whole address.
                                       {ann} is the case's usual account, which every client has that is not mentioned
    @stranger N                        client N does not log in: its first line is the greeting
    @as name                           whose mailboxes the following @append and @create mean
    @do hato words…                    runs the hato command ({ann} is known), which must succeed
    @main name = value                 only at the head of the file: a line of main.cf. Files with the same lines share an instance
    @close N                           client N hangs up
    @wait N pattern                    client N says "NOOP" until a line fits pattern (at most 10 s): for news from another way in

A failing line is told with its file and number, what was wanted and what came.
The driver is story/test_imap_scripts.py; run some: ./test story -k 'imap_scripts and condstore'."""
import re, socket, time
from around import *

ESCAPES = {'r': '\r', 'n': '\n', '0': '\0', 't': '\t', '\\': '\\'}
QUIET = 20  # seconds for a line that must come


def unescape(text):
    out = re.sub(r'\\(x[0-9a-fA-F]{2}|[rn0t\\])', lambda m: chr(int(m[1][1:], 16)) if m[1][0] == 'x' else ESCAPES[m[1]], text)
    return b''.join(bytes([ord(c)]) if ord(c) < 256 and c not in text else c.encode() for c in out)


def sample(k):
    return (f'From: Sender {k} <sender{k}@else.test>\r\nTo: ann@example.test\r\nSubject: message {k}\r\n'
            f'Message-ID: <message{k}@else.test>\r\nDate: {"Sun Mon Tue Wed Thu Fri Sat".split()[(k - 1) % 7]}, '
            f'{(k - 1) % 31 + 1:02} Mar 2026 12:00:00 +0000\r\n\r\nBody {k}.\r\n').encode()


class Case:
    def __init__(self, name, lines):
        self.name, self.lines = name, lines


def read(path):
    """(lines for main.cf, [Case]) of a file."""
    head, cases, main = [], [], []
    with open(path, encoding='utf-8', newline='\n') as f:
        for number, line in enumerate(f.read().split('\n'), 1):
            if line.startswith('== '):
                cases.append(Case(line[3:].strip(), []))
            elif line.startswith('@main '):
                assert not cases, f'{path}:{number}: @main belongs to the head of the file'
                main.append(line[6:])
            elif line.strip() and not line.startswith('#'):
                (cases[-1].lines if cases else head).append((number, line))
    for case in cases:
        case.lines = head + case.lines
    return '\n'.join(main), cases or [Case('all', head)]


class Client:
    def __init__(self, server, drip):
        self.socket = socket.create_connection((server.address, server.ports['imap']), QUIET * SLOW)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file, self.drip = self.socket.makefile('rb'), drip

    def send(self, data):
        try:
            for i in range(0, len(data), 1 if self.drip else len(data) or 1):
                self.socket.sendall(data[i:i + 1] if self.drip else data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # what it said before it hung up may still be there to read

    def line(self):
        """A line without its end; None: closed."""
        try:
            got = self.file.readline()
        except (ConnectionResetError, BrokenPipeError):
            got = b''
        except TimeoutError:
            raise AssertionError('the server says nothing')
        return got.removesuffix(b'\n').removesuffix(b'\r').decode('utf-8', 'surrogateescape') if got else None

    def until(self, start):
        while (line := self.line()) is not None:
            if line.startswith(start):
                return line
        raise AssertionError(f'the server closed before {start!r}')

    def login(self, address, password):
        self.until('* OK')
        self.send(f'login LOGIN {address} {password}\r\n'.encode())
        line = self.until('login ')
        assert line.startswith('login OK'), line
        return self

    def close(self):
        self.file.close()
        self.socket.close()


class Play:
    counter = 0

    def __init__(self, server, path, case, drip):
        self.server, self.path, self.case, self.drip = server, path, case, drip
        self.clients, self.accounts, self.who, self.names, self.as_ = {}, {}, {}, {}, 'ann'
        self.group, self.never, self.at = [], [], 0

    def account(self, name):
        if name not in self.accounts:
            Play.counter += 1
            self.accounts[name] = self.server.account(f'{name}-{Play.counter}@example.test')
            self.names[name] = self.accounts[name]
        return self.accounts[name]

    def client(self, n):
        if n not in self.clients:
            c = self.clients[n] = Client(self.server, self.drip)
            if self.who.get(n) != '':
                c.login(self.account(self.who.get(n, 'ann')), 'secret')
        return self.clients[n]

    # patterns

    def known(self, text):
        def value(m):
            if m[1] not in self.names:
                return m[0]
            return str(int(self.names[m[1]]) + int(m[2])) if m[2] else str(self.names[m[1]])
        return re.sub(r'\{([a-z]\w*)([+-]\d+)?\}', value, text)

    def regex(self, pattern):
        def one(m):
            if m[0] == '...':
                return '.*'
            if m[0] == '{n}':
                return r'\d+'
            kind, name = m[1], m[2]
            if name in self.names:
                return re.escape(str(self.names[name]))
            return f'(?P<{name}>' + (r'\d+' if kind == 'n' else r'[^ )\]]+') + ')'
        out, last = '', 0
        pattern = self.known(pattern)
        for m in re.finditer(r'\.\.\.|\{n\}|\{([ns]):(\w+)\}', pattern):
            out += re.escape(pattern[last:m.start()]) + one(m)
            last = m.end()
        return re.compile(out + re.escape(pattern[last:]), re.S)

    def fits(self, pattern, line):
        m = self.regex(pattern).fullmatch(line)
        if m:
            self.names.update(m.groupdict())
        return bool(m)

    # lines

    def want(self, n, pattern):
        line = self.client(n).line()
        assert line is not None, f'wanted {pattern!r}, but the server closed'
        assert self.fits(pattern, line), f'wanted {self.known(pattern)!r}, got {line!r}'

    def seek(self, n, pattern):
        passed, never, self.never = [], self.never, []
        while (line := self.client(n).line()) is not None:
            if self.fits(pattern, line):
                return
            passed.append(line)
            for p in never:
                assert not self.fits(p, line), f'{p!r} must not come, got {line!r}'
            assert not re.match(r'[^*+ ]\S* (OK|NO|BAD) ', line) or re.match(r'[^*+ ]', pattern) and \
                not line.startswith(pattern.split(' ')[0] + ' '), f'wanted {self.known(pattern)!r}, got {line!r} after {passed[-9:-1]}'
        raise AssertionError(f'wanted {pattern!r}, but the server closed after {passed[-5:]}')

    def any_order(self):
        group, self.group = self.group, []
        while group:
            n = group[0][0]
            line = self.client(n).line()
            assert line is not None, f'wanted {[p for _, p in group]}, but the server closed'
            hit = next((i for i, (who, p) in enumerate(group) if who == n and self.fits(p, line)), None)
            assert hit is not None, f'wanted one of {[p for _, p in group]}, got {line!r}'
            del group[hit]

    def server_line(self, how, n, pattern):
        if how == '~':
            self.group.append((n, pattern))
            return
        if how == '!':
            self.never.append(pattern)
        elif how == '*':
            self.seek(n, pattern)
        elif how == ':':
            self.want(n, pattern)
        else:
            line = self.client(n).line()
            assert line is None, f'wanted the end of the connection, got {line!r}'

    # preparation

    def quietly(self):
        return Client(self.server, False).login(self.account(self.as_), 'secret')

    def do_append(self, rest):
        m = re.match(r'("[^"]*"|\S+) (?:(\([^)]*\)) )?(.*)', rest)
        box, flags, what = m[1], (m[2] or '()'), m[3]
        texts = [sample(k) for k in range(1, int(what) + 1)] if what.isdigit() else [unescape(what)]
        c = self.quietly()
        for text in texts:
            c.send(f'x APPEND {box} {flags} {{{len(text)}+}}\r\n'.encode() + text + b'\r\n')
            line = c.until('x ')
            assert line.startswith('x OK'), line
        c.close()

    def do_create(self, rest):
        c = self.quietly()
        c.send(f'x CREATE {rest}\r\n'.encode())
        line = c.until('x ')
        assert line.startswith('x OK'), line
        c.close()

    def do_login(self, rest):
        n, name = rest.split()
        self.who[int(n)] = name
        self.account(name)

    def do_stranger(self, rest):
        self.who[int(rest)] = ''

    def do_as(self, rest):
        self.as_ = rest
        self.account(rest)

    def do_do(self, rest):
        words = self.known(rest).split()
        self.server.hato(*words[words[0] == 'hato':])

    def do_close(self, rest):
        self.clients.pop(int(rest)).close()

    def do_wait(self, rest):
        n, pattern = rest.split(' ', 1)
        c = self.client(int(n))

        def seen():
            c.send(b'wait NOOP\r\n')
            hit = False
            while not (line := c.line() or '').startswith('wait '):
                assert line, 'the server closed'
                hit = self.fits(pattern, line) or hit
            return hit
        wait_until(seen, 10, lambda: pattern)

    # all of it

    def step(self, line):
        m = re.match(r'([CS])(\d?)([:\-*~!.])(?: (.*))?$', line)
        if self.group and not (m and m[3] == '~'):
            self.any_order()
        if line.startswith('@'):
            word, _, rest = line[1:].partition(' ')
            do = getattr(self, 'do_' + word, None)
            assert do, f'no such preparation: @{word}'
            do(rest.strip())
            return
        assert m and (m[1] == 'S') >= (m[3] in '*~!.') and not (m[1] == 'S' and m[3] == '-'), f'what is this line? {line!r}'
        n, text = int(m[2] or 1), m[4] or ''
        if m[1] == 'S':
            self.server_line(m[3], n, text)
        else:
            self.client(n).send(unescape(self.known(text)) if m[3] == '-' else self.known(text).encode('utf-8', 'surrogateescape') + b'\r\n')

    def run(self):
        try:
            self.account('ann')
            for self.at, line in self.case.lines:
                self.step(line)
            if self.group:
                self.any_order()
        except Exception as e:
            raise AssertionError(f'{self.path}:{self.at}: case "{self.case.name}"{" (byte by byte)" if self.drip else ""}: {e}') from None
        finally:
            for c in self.clients.values():
                c.close()
