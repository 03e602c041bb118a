# SPDX-License-Identifier: Apache-2.0
"""smtpd_sasl_type = dovecot: Debian's Dovecot says who may log in over SMTP (Postfix's SASL_README), and what happens without it."""
import base64, hmac, os, smtplib, subprocess, time
import pytest
from around import *
from hato import AUTH, Instance, running
from saslclient import Refused, Wire, login, plain, scram

ANN, BOB = 'ann@example.test', 'bob@example.test'  # ann is Dovecot's, bob is hato's
CONF = '''
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols =
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5 scram-sha-256
auth_verbose = yes
first_valid_uid = 1
default_internal_user = dovecot
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={folder}/home/%u
}}
service auth {{
  unix_listener {socket} {{
    mode = 0666
  }}
  inet_listener {{
    address = 127.0.0.1
    port = {port}
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
'''


class Auth:
    """A Dovecot that does nothing but judge log-ins, at queue/private/auth and on a port."""
    def __init__(self, folder):
        needs_dovecot_2_3()
        self.folder, self.port = str(folder), free_port()
        self.socket = f'{self.folder}/queue/private/auth'
        for name in ('run', 'state', 'home', 'queue/private'):
            os.makedirs(f'{self.folder}/{name}', exist_ok=True)
        path = self.folder
        while path not in ('/tmp', '/'):
            os.chmod(path, os.stat(path).st_mode | 0o011)
            path = os.path.dirname(path)
        with open(f'{self.folder}/users', 'w') as f:
            f.write(f'{ANN}:{{PLAIN}}dovecots\nodd{{tab}}:{{PLAIN}}x\n')
        os.chmod(f'{self.folder}/users', 0o644)
        with open(f'{self.folder}/dovecot.conf', 'w') as f:
            f.write(CONF.format(folder=self.folder, socket=self.socket, port=self.port))

    def start(self):
        subprocess.run(['dovecot', '-c', f'{self.folder}/dovecot.conf'], check=True, timeout=30)
        wait_until(lambda: os.path.exists(self.socket), 20, 'Dovecot\'s socket')

    def stop(self):
        if os.path.exists(f'{self.folder}/run/master.pid'):
            subprocess.run(['doveadm', '-c', f'{self.folder}/dovecot.conf', 'stop'], check=False, timeout=30)
            wait_until(lambda: not os.path.exists(f'{self.folder}/run/master.pid'), 20, 'Dovecot to end')


@pytest.fixture(scope='module')
def dovecot(tmp_path_factory):
    auth = Auth(tmp_path_factory.mktemp('dovecot-auth'))
    auth.start()
    yield auth
    auth.stop()


@pytest.fixture(scope='module')
def server(tmp_path_factory, dovecot):
    main = f'queue_directory = {dovecot.folder}/queue\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = private/auth\nbroken_sasl_auth_clients = yes\n'
    with running(tmp_path_factory.mktemp('h'), BOB, main=main) as instance:
        yield instance


def offered(wire):
    return set(next((l[4:].split()[1:] for l in wire.capabilities().split('\n') if l[4:].startswith('AUTH ')), ()))


def cram_md5(wire, user, password):
    challenge = wire.begin('CRAM-MD5')
    return wire.say(f'{user} {hmac.new(password.encode(), challenge, "md5").hexdigest()}')


def refused(call, *args, **more):
    with pytest.raises(Refused) as e:
        call(*args, **more)
    return str(e.value)


def test_mechanisms_and_log_ins(server):
    assert offered(Wire(server, 'smtp')) == {'PLAIN', 'LOGIN', 'CRAM-MD5', 'SCRAM-SHA-256'}
    assert '250-AUTH=' in Wire(server, 'smtp').capabilities()
    for initial in (True, False):
        assert plain(Wire(server, 'smtp'), ANN, 'dovecots', initial=initial) is None
        assert scram(Wire(server, 'smtp'), ANN, 'dovecots', initial=initial) is None
    assert login(Wire(server, 'smtp'), ANN, 'dovecots') is None
    assert cram_md5(Wire(server, 'smtp'), ANN, 'dovecots') is None
    for call in (plain, login, cram_md5, scram):
        wire = Wire(server, 'smtp')
        assert '535 5.7.8' in refused(call, wire, ANN, 'wrong')
        assert call(wire, ANN, 'dovecots') is None  # and another try
    assert '535' in refused(plain, Wire(server, 'smtp'), BOB, 'secret')  # hato's own accounts are not Dovecot's
    assert plain(Wire(server, 'imap'), BOB, 'secret') is None            # but IMAP is hato's
    log = server.wait_log(r'SASL CRAM-MD5 authentication failed').string
    assert f'sasl_username={ANN}' in log and 'dovecots' not in log


def test_mail_by_a_user_of_dovecots(server):
    with smtplib.SMTP_SSL(server.address, server.ports['smtps'], context=NO_NAME, timeout=60 * SLOW) as s:
        s.login(ANN, 'dovecots')
        s.sendmail(ANN, [BOB], 'Subject: from dovecot\r\n\r\nx\r\n')
    server.wait_message(BOB, 'from dovecot')
    server.wait_log(f'sasl_method=(CRAM-MD5|PLAIN|SCRAM-SHA-256), sasl_username={ANN}')


def waiting(server):
    """How many of edge's workers stand in poll(2), which is to wait for one answer."""
    count, pid = 0, server.pids('edge')[0]
    for task in os.listdir(f'/proc/{pid}/task'):
        with open(f'/proc/{pid}/task/{task}/wchan') as f:
            where = f.read()
            count += 'poll' in where and 'epoll' not in where and 'ep_poll' not in where
    return count


def test_a_no_that_is_held_back_holds_nobody_else(server):
    """Dovecot keeps a "no" for two seconds: those who wait for it are parked, and no worker with them."""
    wires = [Wire(server, 'smtp') for _ in range(40)]
    for wire in wires:
        wire.send('AUTH PLAIN ' + base64.b64encode(f'\0{ANN}\0wrong'.encode()).decode())
    time.sleep(0.3)
    wait_until(lambda: waiting(server) < 5, 1.2, 'the workers to be free')  # connecting to Dovecot takes its moment
    wires[0].socket.close()  # one who does not wait for it
    for wire in wires[1:]:
        assert wire.line().startswith('535 5.7.8')
    assert plain(wires[1], ANN, 'dovecots') is None


def test_who_is_logged_in(server):
    wire = Wire(server, 'smtp')
    assert plain(wire, ANN, 'dovecots') is None
    lines = [l for l in server.hato('who').stdout.splitlines() if ANN in l]
    assert lines and 'smtp' in lines[0], lines
    server.hato('kick', ANN)
    wire.send('NOOP')
    wire.send('MAIL FROM:<>')
    assert '421' in wire.line() + wire.line()
    wire.socket.close()
    wait_until(lambda: ANN not in server.hato('who').stdout, 10, 'ann to be gone')


def test_broken_words(server):
    for word, code in (('AUTH EXTERNAL =', '504'), ('AUTH SCRAM-SHA-256-PLUS', '504'), ('AUTH NTLM', '504'), ('AUTH PLAIN !!', '501'), ('AUTH PLAIN =', '535'),
                       ('AUTH PLAIN a\tb', '501'), ('AUTH ' + 'X' * 100, '504')):
        wire = Wire(server, 'smtp')
        wire.send(word)
        assert wire.line().startswith(code), word
    wire = Wire(server, 'smtp')
    wire.begin('LOGIN')
    wire.send('*')
    assert wire.line().startswith('501')
    assert plain(wire, ANN, 'dovecots') is None
    for _ in range(20):  # clients that go away in the middle
        wire = Wire(server, 'smtp')
        wire.begin('CRAM-MD5')
        wire.socket.close()
    assert plain(Wire(server, 'smtp'), ANN, 'dovecots') is None


def test_filters_and_a_port(tmp_path, dovecot):
    main = (f'smtpd_sasl_type = dovecot\nsmtpd_sasl_path = inet:127.0.0.1:{dovecot.port}\nsmtpd_sasl_security_options = noanonymous, noplaintext\n'
            'smtpd_tls_auth_only = no\nsmtpd_sasl_tls_security_options = noanonymous\nsmtpd_sasl_mechanism_filter = !scram-sha-256, static:rest\n')
    services = {'smtp': f'smtpd {AUTH}', 'submission': f'smtpd {AUTH} -o smtpd_tls_auth_only=yes -o smtpd_sasl_mechanism_filter=cram-md5', 'smtps': f'smtpd -o smtpd_tls_wrappermode=yes {AUTH}'}
    with running(tmp_path, BOB, main=main, services=services) as server:
        assert offered(Wire(server, 'smtp')) == {'PLAIN', 'LOGIN', 'CRAM-MD5'}
        assert plain(Wire(server, 'smtp'), ANN, 'dovecots') is None
        with server.dialogue('smtp') as d:
            words = d.ehlo()
            assert 'AUTH CRAM-MD5' in words and 'PLAIN' not in words
        assert offered(Wire(server, 'smtp', tls=False)) == set()  # submission: only with TLS
        wire = Wire(server, 'smtp', tls=False)
        wire.send('AUTH CRAM-MD5')
        assert wire.line().startswith('538')


def test_dovecot_comes_and_goes(tmp_path):
    """No socket: our own accounts. A socket: Dovecot's. A dead socket: nobody can tell, and no one gets in."""
    (tmp_path / 'd').mkdir()
    auth = Auth(tmp_path / 'd')
    main = f'queue_directory = {auth.folder}/queue\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = private/auth\n'
    try:
        with running(tmp_path / 'h', BOB, main=main) as server:
            assert plain(Wire(server, 'smtp'), BOB, 'secret') is None
            server.wait_log("smtpd_sasl_path = private/auth: .*by hato's own accounts")
            auth.start()
            assert plain(Wire(server, 'smtp'), ANN, 'dovecots') is None
            refused(plain, Wire(server, 'smtp'), BOB, 'secret')
            auth.stop()
            auth.start()  # kept connections are dead now
            assert plain(Wire(server, 'smtp'), ANN, 'dovecots') is None
            auth.stop()
            if not os.path.exists(auth.socket):
                import socket
                with socket.socket(socket.AF_UNIX) as s:
                    s.bind(auth.socket)
            server.stop()  # as long as somebody is connected, Dovecot's auth process answers him
            server.start()
            wire = Wire(server, 'smtp')
            assert offered(wire) == set() and '454' in refused(plain, wire, BOB, 'secret')
            server.wait_log('smtpd_sasl_path: .*auth: Connection refused')
            os.unlink(auth.socket)
            assert plain(Wire(server, 'smtp'), BOB, 'secret') is None
    finally:
        auth.stop()
