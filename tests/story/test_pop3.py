# SPDX-License-Identifier: Apache-2.0
"""POP3: the dialogues of data/pop3 as they stand and byte by byte, and what real clients make of it."""
import glob, os, poplib, select, socket, subprocess
import pytest
from around import *
from hato import Instance, running
import imapscript

FOLDER = f'{TOP}/tests/data/pop3'
ANN, BOB = 'ann@example.test', 'bob@example.test'
CLEAR = 'imapd_tls_security_level = none\npop3d_tls_security_level = none\n'
LETTERS = [f'From: else@other.test\r\nTo: {ANN}\r\nSubject: letter {i}\r\nMessage-ID: <{i}@other.test>\r\n\r\nLetter {i}.\r\n.\r\n..dots\r\n'
           for i in range(1, 6)]


class Client(imapscript.Client):
    PORT = 'pop3'

    def login(self, address, password):
        self.until('+OK')
        self.send(f'USER {address}\r\nPASS {password}\r\n'.encode())
        assert self.line() == '+OK'
        assert self.line() == '+OK Logged in.'
        return self


class Play(imapscript.Play):
    CLIENT = Client


@pytest.fixture(scope='module')
def scripted(tmp_path_factory):
    servers = {}

    def of(main):
        if main not in servers:
            servers[main] = Instance(tmp_path_factory.mktemp('pop3scripts'), main=CLEAR + main).start()
        return servers[main]
    yield of
    problems = [p for instance in servers.values() for p in instance.finish()]
    assert not problems, '\n'.join(problems)


@pytest.mark.core
@pytest.mark.parametrize('name', sorted(os.path.basename(f) for f in glob.glob(FOLDER + '/*.txt')))
def test_script(scripted, name):
    main, cases = imapscript.read(f'{FOLDER}/{name}')
    failed = []
    for case in cases:
        for drip in (False, True):
            try:
                Play(scripted(main), name, case, drip).run()
            except AssertionError as e:
                failed.append(str(e))
                break
    assert not failed, '\n'.join(failed)


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp('pop3'), ANN, BOB) as instance:
        yield instance


@pytest.fixture
def letters(server):
    """Ann's INBOX has five letters, whatever was in it before."""
    m = server.imap(ANN, select='INBOX')
    if m.search(None, 'ALL')[1] != [b'']:
        m.store('1:*', '+FLAGS', '\\Deleted')
        m.expunge()
    for text in LETTERS:
        m.append('INBOX', None, None, text.encode())
    m.logout()
    return server


def pop(server, user=ANN, password='secret'):
    p = poplib.POP3_SSL(server.address, server.ports['pop3s'], context=NO_NAME, timeout=30 * SLOW)
    p.user(user)
    p.pass_(password)
    return p


@pytest.mark.core
def test_python_over_tls(letters):
    p = pop(letters)
    assert p.stat()[0] == 5 and len(p.list()[1]) == 5
    ids = p.uidl()[1]
    assert b'\r\n'.join(p.retr(1)[1]).decode().endswith('Letter 1.\r\n.\r\n..dots')
    p.dele(1)
    p.quit()
    p = pop(letters)
    assert p.uidl()[1] == [b'%d %s' % (i, line.split()[1]) for i, line in enumerate(ids[1:], 1)]
    p.quit()


@pytest.mark.core
def test_stls_and_no_password_before_it(letters):
    p = poplib.POP3(letters.address, letters.ports['pop3'], timeout=30 * SLOW)
    assert 'STLS' in p.capa() and 'USER' not in p.capa()
    with pytest.raises(poplib.error_proto, match='AUTH'):
        p.user(ANN)
    p.stls(context=NO_NAME)
    assert 'STLS' not in p.capa() and 'USER' in p.capa()
    p.user(ANN)
    p.pass_('secret')
    assert p.stat()[0] == 5
    p.quit()


@pytest.mark.core
def test_imap_goes_on_beside_it(letters):
    """The lock is about POP3 alone; what IMAP removes under a session answers as gone; fetched is seen after QUIT."""
    p = pop(letters)
    m = letters.imap(ANN, select='INBOX')
    m.store('2', '+FLAGS', '\\Deleted')
    m.expunge()
    with pytest.raises(poplib.error_proto, match='gone'):
        p.retr(2)
    p.retr(3)
    assert m.search(None, 'SEEN')[1] == [b'']
    p.dele(1)
    p.quit()
    m.noop()
    assert m.search(None, 'ALL')[1] == [b'1 2 3'] and m.search(None, 'SEEN')[1] == [b'1']
    m.logout()


def test_login_delay_and_uidl_format(tmp_path):
    with running(tmp_path, ANN, main='pop3d_login_delay = 1h\npop3d_uidl_format = %u-%v\n') as server:
        m = server.imap(ANN)
        m.append('INBOX', None, None, LETTERS[0].encode())
        p = pop(server)
        assert p.capa()['LOGIN-DELAY'] == ['3600']
        assert re.fullmatch(rb'1 1-\d+', p.uidl()[1][0])
        p.quit()
        with pytest.raises(poplib.error_proto, match='LOGIN-DELAY'):
            pop(server)


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 * SLOW, **more)
    assert done.returncode == 0, (command, done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


def test_curl(letters):
    url = f'pop3s://{letters.address}:{letters.ports["pop3s"]}/'
    out = run('curl', '-sSk', '-u', f'{ANN}:secret', url + '2')
    assert 'Letter 2.' in out and '\n..dots' in out
    for mechanism in ('PLAIN', 'LOGIN', 'SCRAM-SHA-256', 'SCRAM-SHA-1'):
        if 'SCRAM' in mechanism and 'gsasl' not in run('curl', '--version').lower():
            continue
        assert '5 ' in run('curl', '-sSk', '--login-options', f'AUTH={mechanism}', '-u', f'{ANN}:secret', url)


def test_fetchmail(letters, tmp_path):
    rc = tmp_path / 'rc'
    rc.write_text(f'poll {letters.address} protocol POP3 service {letters.ports["pop3s"]} uidl user "{ANN}" password "secret" '
                  f'ssl sslproto "TLS1.2+" no sslcertck keep mda "cat >>{tmp_path}/got"\n')
    rc.chmod(0o600)
    for _ in range(2):  # the second time there is nothing new
        done = subprocess.run(['fetchmail', '-f', str(rc), '-i', f'{tmp_path}/ids', '--pidfile', f'{tmp_path}/pid'], capture_output=True,
                              text=True, timeout=60 * SLOW, env={**os.environ, 'HOME': str(tmp_path), 'FETCHMAILHOME': str(tmp_path)})
        assert done.returncode in (0, 1), (done.stdout, done.stderr)
    got = (tmp_path / 'got').read_text()
    assert [got.count(f'Letter {i}.') for i in range(1, 6)] == [1] * 5


@pytest.mark.core
def test_back_before_the_old_session_ended(letters):
    """A connection broke, and its client is back at once: it waits for a moment instead of being told [IN-USE]."""
    old = pop(letters)
    new = poplib.POP3_SSL(letters.address, letters.ports['pop3s'], context=NO_NAME, timeout=30 * SLOW)
    new.user(ANN)
    new.sock.sendall(b'PASS secret\r\nSTAT\r\n')
    assert select.select([new.sock], [], [], 0.5)[0] == [], new.file.readline()
    old.sock.shutdown(socket.SHUT_RDWR)
    old.close()
    assert new.file.readline() == b'+OK Logged in.\r\n' and new.file.readline().startswith(b'+OK 5 ')
    gone = poplib.POP3_SSL(letters.address, letters.ports['pop3s'], context=NO_NAME, timeout=30 * SLOW)
    gone.user(ANN)
    gone.sock.sendall(b'PASS secret\r\n')
    gone.close()  # while it waits: it ends too
    late = poplib.POP3_SSL(letters.address, letters.ports['pop3s'], context=NO_NAME, timeout=30 * SLOW)
    late.user(ANN)
    with pytest.raises(poplib.error_proto, match=r'\[IN-USE\]'):
        late.pass_('secret')
    new.quit()
    pop(letters).quit()


# getmail starts its command before it listens for the command's end: one that ends too soon is waited for until a minute is over
SEEN_WAITING = r'until grep -q "SigCgt:.*[13579bdf]....$" /proc/$PPID/status && grep -q "State:.S" /proc/$PPID/status; do sleep .01; done'


def test_getmail(letters, tmp_path):
    (tmp_path / 'rc').write_text(f'[retriever]\ntype = SimplePOP3SSLRetriever\nserver = {letters.address}\nport = {letters.ports["pop3s"]}\n'
                                 f'username = {ANN}\npassword = secret\n[destination]\ntype = MDA_external\npath = '
                                 f'{tmp_path}/mda\nallow_root_commands = true\n'
                                 '[options]\nread_all = false\ndelete = true\n')
    (tmp_path / 'mda').write_text(f'#!/bin/sh\ncat >>{tmp_path}/box\n{SEEN_WAITING}\n')
    (tmp_path / 'mda').chmod(0o755)
    run('getmail', '-g', str(tmp_path), '-r', str(tmp_path / 'rc'))
    got = (tmp_path / 'box').read_text()
    assert [got.count(f'Letter {i}.') for i in range(1, 6)] == [1] * 5
    p = pop(letters)
    assert p.stat()[0] == 0
    p.quit()


def test_mpop(letters, tmp_path):
    (tmp_path / 'rc').write_text(f'account default\nhost {letters.address}\nport {letters.ports["pop3s"]}\ntls on\ntls_starttls off\n'
                                 f'tls_certcheck off\nuser {ANN}\npassword secret\nauth user\nkeep on\nuidls_file {tmp_path}/ids\n'
                                 f'delivery mbox {tmp_path}/box\n')
    (tmp_path / 'rc').chmod(0o600)
    fetched = 0
    for auth in ('user', 'plain', 'scram-sha-256'):
        done = subprocess.run(['mpop', '-d', '-C', str(tmp_path / 'rc'), f'--auth={auth}', f'--uidls-file={tmp_path}/ids-{auth}'],
                              capture_output=True, text=True, timeout=60 * SLOW)
        if 'GNU SASL' in done.stderr and '--> AUTH' not in done.stdout:
            continue  # Debian 13's fails before it says anything to us
        fetched += 1
        assert done.returncode == 0, (auth, done.stdout, done.stderr)
    assert (tmp_path / 'box').read_text().count('Letter 5.') == fetched >= 2
