# SPDX-License-Identifier: Apache-2.0
"""Reading mail, as a client that keeps a connection open does it all day."""
import imaplib, re, socket, threading, time, zlib
import pytest
from around import *
from hato import running

pytestmark = pytest.mark.core
ANN, BOB = 'ann@example.test', 'bob@example.test'


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp('imap'), ANN, BOB) as instance:
        yield instance


class Imap:
    """IMAP by hand, over TLS: lines and literals."""
    def __init__(self, server, user=None, password='secret'):
        raw = socket.create_connection((server.address, server.ports['imaps']), 20 * SLOW)
        self.socket = NO_NAME.wrap_socket(raw)
        self.file, self.count = self.socket.makefile('rb'), 0
        self.greeting = self.line()
        if user:
            assert self.command(f'LOGIN {user} {password}')[-1].split()[1] == 'OK'

    def line(self):
        """One response line, its literals in it."""
        line = self.file.readline()
        while (size := re.search(rb'\{(\d+)\}\r\n$', line)):
            line += self.file.read(int(size.group(1))) + self.file.readline()
        return line.decode('utf-8', 'replace')

    def send(self, text):
        self.socket.sendall(text.encode())

    def until(self, start):
        lines = [self.line()]
        while lines[-1] and not lines[-1].startswith(start):
            lines.append(self.line())
        return lines

    def command(self, text, ok=None):
        self.count += 1
        self.send(f't{self.count} {text}\r\n')
        lines = self.until(f't{self.count} ')
        assert ok is None or lines[-1].split()[1] == ok, lines
        return lines


@pytest.fixture
def ann(server):
    i = Imap(server, ANN)
    yield i
    i.socket.close()


def test_greeting_and_capabilities(server):
    i = Imap(server)
    assert i.greeting.startswith('* OK')
    words = set(' '.join(i.command('CAPABILITY', 'OK')).split())
    assert {'IMAP4rev1', 'AUTH=PLAIN'} <= words and 'LOGINDISABLED' not in words
    i.command('LOGIN ann@example.test wrong', 'NO')
    assert 'AUTHENTICATIONFAILED' in i.command('LOGIN nobody@example.test wrong', 'NO')[-1]
    i.command(f'LOGIN {ANN} secret', 'OK')
    words = set(' '.join(i.command('CAPABILITY', 'OK')).split())
    assert {'IDLE', 'MOVE', 'UIDPLUS', 'NAMESPACE', 'SPECIAL-USE', 'UNSELECT', 'ENABLE', 'ID'} <= words and words & {'LITERAL+', 'LITERAL-'}
    assert i.command('LOGOUT', 'OK')[0].startswith('* BYE')


def test_who_misuses_uidonly_does_not_get_it(server):
    """New Outlook's servers (tests/data/imap/clients/office365.txt); they name themselves before they log in."""
    for name, told in (('Microsoft Office 365', False), ('another', True)):
        m = imaplib.IMAP4_SSL(server.address, server.ports['imaps'], ssl_context=NO_NAME)
        assert m.xatom('ID', f'("vendor" NIL "name" "{name}")')[0] == 'OK'
        m.login(ANN, 'secret')
        assert (b' UIDONLY ' in m.capability()[1][0]) == told
        m.logout()


def test_folders_come_with_the_account(ann):
    lines = ''.join(ann.command('LIST "" "*" RETURN (SPECIAL-USE)') + ann.command('LIST "" "*"', 'OK'))
    for use in ('\\Drafts', '\\Sent', '\\Trash', '\\Junk', '\\Archive'):
        assert use in lines
    assert 'INBOX' in lines


def test_new_mail_is_told_at_once(server, ann):
    ann.command('SELECT INBOX', 'OK')
    ann.send('i IDLE\r\n')
    assert ann.line().startswith('+')
    server.send('x@else.test', ANN, message('x@else.test', ANN, 'ding'))
    started = time.monotonic()
    told = ann.until('* ')
    assert 'EXISTS' in ''.join(told) and time.monotonic() - started < 1 * SLOW
    other = server.imap(ANN, select='INBOX')
    other.store('1', '+FLAGS', '(\\Flagged)')
    lines = ''
    while 'FETCH' not in lines:
        lines += ann.line()
    assert '\\Flagged' in lines
    other.store('1', '+FLAGS', '(\\Deleted)')
    other.expunge()
    while 'EXPUNGE' not in lines:
        lines += ann.line()
    ann.send('DONE\r\n')
    assert ann.until('i ')[-1].startswith('i OK')


def test_copy_move_expunge(server, ann):
    text = message('x@else.test', ANN, 'wanders', 'body\r\n')
    ann.command('CREATE One', 'OK')
    ann.command('CREATE Two', 'OK')
    for _ in range(4):
        ann.send(f'a APPEND One (\\Flagged $Work) "22-Nov-2025 04:31:39 +0900" {{{len(text)}}}\r\n')
        assert ann.line().startswith('+')
        ann.send(text + '\r\n')
        assert re.search(r'APPENDUID \d+ \d+', ann.until('a ')[-1])
    ann.command('SELECT One', 'OK')
    assert 'COPYUID' in ann.command('COPY 1:2 Two', 'OK')[-1]
    assert 'COPYUID' in ''.join(ann.command('MOVE 3 Two', 'OK'))
    assert '* 3 EXISTS' in ''.join(ann.command('SELECT One', 'OK'))
    ann.command('STORE 1 +FLAGS.SILENT (\\Deleted)', 'OK')
    assert '* 1 EXPUNGE' in ''.join(ann.command('EXPUNGE', 'OK'))
    ann.command('SELECT Two', 'OK')
    lines = ''.join(ann.command('FETCH 1:3 (FLAGS INTERNALDATE BODY.PEEK[])', 'OK'))
    assert lines.count(text) == 3 and lines.count('$Work') == 3
    assert imaplib.Internaldate2tuple(lines.encode()) == time.localtime(1763753499)  # 04:31:39 +0900
    assert 'TRYCREATE' in ann.command('COPY 1 Nowhere', 'NO')[-1]
    ann.command('CLOSE', 'OK')
    ann.command('RENAME Two Three', 'OK')
    assert 'MESSAGES 3' in ''.join(ann.command('STATUS Three (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)', 'OK'))
    for name in ('One', 'Three'):
        ann.command(f'DELETE {name}', 'OK')


def test_structure_and_parts(server, ann):
    text = ('From: "Ann, A." <ann@example.test>\r\nTo: =?utf-8?q?B=C3=B6b?= <bob@example.test>, undisclosed:;\r\nSubject: parts\r\n'
            'Date: Sat, 22 Nov 2025 04:31:39 +0000\r\nMessage-ID: <p@x>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n'
            'preamble\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nfirst\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n'
            'Subject: inner\r\n\r\ninner text\r\n--b\r\nContent-Type: image/png; name=a.png\r\nContent-Transfer-Encoding: base64\r\n'
            'Content-Disposition: attachment; filename=a.png\r\n\r\naGVsbG8=\r\n--b--\r\n')
    ann.command('CREATE Parts', 'OK')
    ann.send(f'a APPEND Parts {{{len(text)}+}}\r\n{text}\r\n')
    assert ann.until('a ')[-1].startswith('a OK')
    ann.command('SELECT Parts', 'OK')
    lines = ''.join(ann.command('FETCH 1 (ENVELOPE BODYSTRUCTURE RFC822.SIZE)', 'OK'))
    assert f'RFC822.SIZE {len(text)}' in lines
    assert '("Ann, A." NIL "ann" "example.test")' in lines and '"<p@x>"' in lines
    assert '"MIXED"' in lines.upper() and '"RFC822"' in lines.upper() and '"a.png"' in lines
    part = lambda what: ''.join(ann.command(f'FETCH 1 BODY.PEEK[{what}]', 'OK'))
    assert 'first' in part('1') and 'inner text' in part('2.TEXT') and 'Subject: inner' in part('2.HEADER')
    assert 'aGVsbG8=' in part('3') and 'image/png' in part('3.MIME')
    assert '{5}\r\ninner' in ''.join(ann.command('FETCH 1 BODY.PEEK[2.TEXT]<0.5>', 'OK'))
    assert re.search(r'\* SEARCH 1\r', ''.join(ann.command('SEARCH BODY "inner text" SUBJECT "PARTS" SINCE 1-Jan-2020', 'OK')))
    assert re.search(r'\* SEARCH\r', ''.join(ann.command('SEARCH UNSEEN BODY "nowhere"', 'OK')))


def test_many_at_once(server):
    """Ten clients on one mailbox, each appending and flagging: all agree in the end."""
    problems = []

    def work(k):
        try:
            m = server.imap(BOB, select='INBOX')
            for n in range(10):
                assert m.append('INBOX', None, None, message(BOB, BOB, f'k{k}n{n}').encode())[0] == 'OK'
                assert m.noop()[0] == 'OK'
                assert m.store('1:*', '+FLAGS.SILENT', f'(k{k})')[0] == 'OK'
            m.logout()
        except Exception as e:
            problems.append(f'{k}: {e!r}')
    threads = [threading.Thread(target=work, args=(k,)) for k in range(10)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not problems
    assert sorted(server.subjects(BOB)) == sorted(f'k{k}n{n}' for k in range(10) for n in range(10))


def test_nonsense_does_no_harm(server, ann):
    for line in ('', 'x', 'x y', 't FETCH', 'a SELECT', 'a SELECT "', 'a FETCH 1 (', 'a FETCH 4294967296 FLAGS', 'a SEARCH ' + '(' * 500,
                 'a LIST "" ' + '%*' * 200, 'a STORE 1 FLAGS', 'a UID', 'a APPEND INBOX {x}', 'a APPEND INBOX {99999999999}'):
        ann.send(line + '\r\n')
    assert ann.until('a ')
    fresh = Imap(server, ANN)
    assert fresh.command('NOOP', 'OK')


def test_goodbye_at_the_stop(tmp_path):
    """Whoever is connected is told that the server stops (RFC 9051 §7.1.5): logged in, idle, compressed, not logged in."""
    with running(tmp_path, ANN) as server:
        selected, idle, packed = (server.imap(ANN, select='INBOX') for _ in range(3))
        stranger = imaplib.IMAP4_SSL(server.address, server.ports['imaps'], ssl_context=NO_NAME)
        idle.send(b'i IDLE\r\n')
        assert idle.readline().startswith(b'+ ')
        packed.send(b'c COMPRESS DEFLATE\r\n')
        assert packed.readline().startswith(b'c OK')
        begun = time.monotonic()
        server.stop()
        assert time.monotonic() - begun < 10 * SLOW
        for m in (selected, idle, stranger):
            assert m.readline().startswith(b'* BYE '), m
            assert m.readline() == b''
        rest = b''.join(iter(lambda: packed.sock.recv(4096), b''))
        assert zlib.decompressobj(-15).decompress(rest).startswith(b'* BYE ')
        server.start()


def test_in_the_clear(tmp_path):
    """Without TLS core has the client's own socket: it is counted, listed, kicked and told of the end as ever, also when edge dies."""
    def log_in():
        m = imaplib.IMAP4(server.address, server.ports['imap'], timeout=60 * SLOW)
        m.login(ANN, 'secret')
        return m

    def soon():
        """Once edge has counted who left."""
        def try_it():
            try:
                return log_in()
            except (imaplib.IMAP4.error, OSError):
                return None
        return wait_until(try_it, 20, 'a log-in')

    def again(m):
        """A command stands behind the log-in: such a session goes over edge."""
        m.send(b'y LOGIN ann@example.test secret\r\nz NOOP\r\n')
        log_in, noop = m.readline(), m.readline()
        assert noop.startswith(b'z OK'), (log_in, noop)
        return log_in.startswith(b'y OK')

    def ends(m):
        """Everything that is still said, up to the end of the connection."""
        return b''.join(iter(m.readline, b''))

    with running(tmp_path, ANN, main='imapd_tls_auth_only = no\nimapd_connection_limit_per_user = 3\n') as server:
        a, b, c = log_in(), log_in(), log_in()
        with pytest.raises(imaplib.IMAP4.error, match='You have 3 connections already'):
            log_in()
        stranger = imaplib.IMAP4(server.address, server.ports['imap'], timeout=20 * SLOW)
        assert not again(stranger) and stranger.shutdown() is None  # the command behind the refused log-in is answered
        assert server.hato('who').stdout.count(ANN) == 3
        c.send(b'x UNAUTHENTICATE\r\n')
        assert c.readline().startswith(b'x OK')
        soon().logout()  # nobody's connection is none of hers
        wait_until(lambda: again(c), 20, 'the second log-in of one connection')
        text = b'Subject: large\r\n\r\n' + b'0123456789abcde\n' * 65536
        assert a.append('INBOX', None, None, text)[0] == 'OK'
        assert a.select()[0] == 'OK' and a.fetch('1', '(RFC822.SIZE)')[0] == 'OK'
        a.logout()
        server.wait_log(r'Disconnected: Logged out .*in=\d{7},? out=\d+')
        assert server.hato('kick', ANN).returncode == 0
        assert ends(b) == ends(c) == b''
        wait_until(lambda: ANN not in server.hato('who').stdout, 10, 'the kicked sessions to be gone')
        quiet, idle, broken = soon(), soon(), soon()
        idle.send(b'i IDLE\r\n')
        assert idle.readline().startswith(b'+ ')
        broken.send(b'b SELECT')
        kill(server.pids('edge'))
        for m in quiet, idle, broken:
            assert ends(m) == b'* BYE Connection closed.\r\n'
        m = soon()
        server.stop()
        assert ends(m).startswith(b'* BYE ')
        server.start()
