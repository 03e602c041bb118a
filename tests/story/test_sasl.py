# SPDX-License-Identifier: Apache-2.0
"""Logging in: one SASL for SMTP, IMAP and POP3, with every mechanism, with our client and with others'."""
import base64, hashlib, imaplib, json, poplib, smtplib, ssl, subprocess
import pytest
from around import *
from hato import running
from saslclient import Refused, Wire, login, plain, scram
from tokens import certify, make_ca

ANN, BOB, OLD = 'ann@example.test', 'bob@example.test', 'old@example.test'
PASSWORD = 'geheim, =x'
PROTOCOLS = ('imap', 'pop3', 'smtp')
SCRAMS = ('SCRAM-SHA-1', 'SCRAM-SHA-256')


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp('sasl'), BOB, main='sasl_channel_binding = yes\n') as instance:
        instance.account(ANN, PASSWORD)
        instance.hato('account', 'add', OLD, '--hash', '{SHA256}' + base64.b64encode(hashlib.sha256(b'imported').digest()).decode())
        yield instance


def enters(exchange, wire, *args, **more):
    assert exchange(wire, *args, **more) is None
    wire.leave()


def refused(call, *args, **more):
    with pytest.raises(Refused) as e:
        call(*args, **more)
    return str(e.value)


@pytest.mark.core
@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_what_is_offered(server, protocol):
    words = Wire(server, protocol).capabilities().replace('AUTH=', ' ').split()
    assert {'PLAIN', 'LOGIN', 'SCRAM-SHA-1', 'SCRAM-SHA-256', 'SCRAM-SHA-1-PLUS', 'SCRAM-SHA-256-PLUS'} <= set(words)
    words = Wire(server, protocol, tls=False).capabilities().replace('AUTH=', ' ').split()
    assert not {w for w in words if w == 'PLAIN' or 'SCRAM' in w}


@pytest.mark.core
@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_right_and_wrong(server, protocol):
    enters(plain, Wire(server, protocol), ANN, PASSWORD)
    enters(plain, Wire(server, protocol), ANN.upper(), PASSWORD, authzid=ANN, initial=False)
    enters(login, Wire(server, protocol), ANN, PASSWORD)
    for mechanism in SCRAMS:
        enters(scram, Wire(server, protocol), ANN, PASSWORD, mechanism)
    enters(scram, Wire(server, protocol), ANN, PASSWORD, initial=False)
    net_smtp = lambda what, value: base64.b64decode('NOOP') if what == 'end' else value  # PHP's Net_SMTP 1.11 ends so
    enters(scram, Wire(server, protocol), ANN, PASSWORD, bend=net_smtp)
    word = {'imap': 'AUTHENTICATIONFAILED', 'pop3': '[AUTH]', 'smtp': '535'}[protocol]

    def wrong(exchange, *words, **more):
        assert word in refused(exchange, Wire(server, protocol), *words, **more)
    together(wrong, [*((scram, ANN, 'wrong', mechanism) for mechanism in SCRAMS), (plain, ANN, 'wrong'), (plain, 'nobody@example.test', PASSWORD),
                     (plain, ANN, PASSWORD, BOB)])  # nobody made him a master


@pytest.mark.core
def test_nobody_looks_like_somebody(server):
    """An account that is none has a salt like others: the same each time, after a restart too."""
    def salt(user):
        return Wire(server, 'imap').begin('SCRAM-SHA-256', f'n,,n={user},r=abc').split(b',', 1)[1]
    before = salt('nobody@example.test')
    assert salt('NOBODY@example.test') == before != salt('nobody2@example.test')
    assert salt(ANN) == salt(ANN) != before and salt(ANN).split(b',')[1] == before.split(b',')[1]
    server.stop()
    server.start()
    assert salt('nobody@example.test') == before


@pytest.mark.core
def test_a_bent_exchange_is_refused(server):
    for what, value in (('nonce', 'xyz'), ('proof', b'\0' * 32), ('binding', 'biws' * 2)):
        refused(scram, Wire(server, 'smtp'), ANN, PASSWORD, bend=lambda w, v: value if w == what else v)
    for first in ('n', 'n,,', 'n,,n=,r=a', f'n,,m=x,n={ANN},r=a', f'n,,n={ANN},r=', f'n,,n=a=zb,r=a', f'n,x={ANN},n={ANN},r=a', b'n,,n=\xff,r=a'):
        refused(Wire(server, 'smtp').begin, 'SCRAM-SHA-256', first)
    w = Wire(server, 'imap')
    w.begin('SCRAM-SHA-256', f'n,,n={ANN},r=abc')
    w.send('*')
    assert 'BAD' in w.line()
    assert plain(w, ANN, PASSWORD) is None  # and the connection goes on


@pytest.mark.core
@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_channel_binding(server, protocol):
    for mechanism in SCRAMS:
        w = Wire(server, protocol)
        certificate = hashlib.sha256(w.socket.getpeercert(binary_form=True)).digest()
        enters(scram, w, ANN, PASSWORD, mechanism + '-PLUS', 'p=tls-server-end-point', certificate)
    refused(scram, Wire(server, protocol), ANN, PASSWORD, 'SCRAM-SHA-256-PLUS', 'p=tls-server-end-point', b'\1' * 32)
    refused(scram, Wire(server, protocol), ANN, PASSWORD, 'SCRAM-SHA-256-PLUS', 'p=tls-exporter', b'\1' * 32)
    refused(scram, Wire(server, protocol), ANN, PASSWORD, 'SCRAM-SHA-256-PLUS', 'p=tls-unheard-of', b'')
    # he could bind and thinks that we cannot: somebody took our -PLUS out of the list
    refused(scram, Wire(server, protocol), ANN, PASSWORD, 'SCRAM-SHA-256', 'y')
    refused(scram, Wire(server, protocol), ANN, PASSWORD, 'SCRAM-SHA-256-PLUS', 'n')


def gsasl(server, protocol, mechanism, user, password, *more):
    """GNU SASL's client; it uses tls-exporter or tls-unique where there is TLS."""
    port = server.ports['imap' if protocol == 'imap' else 'submission']
    return subprocess.run(['gsasl', '--' + protocol, '--verbose', '-m', mechanism, '-a', user, '-z', '', '-p', password, '--starttls', *more,
                           '--x509-ca-file=', f'--connect={server.address}:{port}', '--hostname=mail.example.test', '--quiet'], input='', capture_output=True, text=True, timeout=60 * SLOW)


@pytest.mark.parametrize('protocol', ['imap', 'smtp'])
def test_gsasl(server, protocol):
    def enters(mechanism):
        for password, good in ((PASSWORD, True), ('wrong', False)):
            done = gsasl(server, protocol, mechanism, ANN, password, *([] if 'PLUS' in mechanism else ['--no-cb']))
            assert (done.returncode == 0) == good, print(mechanism, password, done.stdout, done.stderr)
    together(enters, [(m,) for m in ('PLAIN', 'LOGIN', 'SCRAM-SHA-1', 'SCRAM-SHA-256', 'SCRAM-SHA-1-PLUS', 'SCRAM-SHA-256-PLUS')])


def test_swaks(server):
    for mechanism in ('PLAIN', 'LOGIN'):
        done = subprocess.run(['swaks', '--server', server.address, '-p', str(server.ports['submission']), '-tls', '-a', mechanism, '-au', ANN, '-ap', PASSWORD,
                               '-f', ANN, '-t', BOB, '--quit-after', 'RCPT'], capture_output=True, text=True, timeout=60 * SLOW)
        assert done.returncode == 0 and '235 2.7.0' in done.stdout, done.stdout


def test_curl(server):
    for scheme, port in (('imaps', 'imaps'), ('pop3s', 'pop3s'), ('smtps', 'smtps')):
        for mechanism in ('PLAIN', 'LOGIN'):
            done = subprocess.run(['curl', '-sSkv', '--login-options', f'AUTH={mechanism}', '-u', f'{BOB}:secret', f'{scheme}://{server.address}:{server.ports[port]}/',
                                   *([] if scheme == 'pop3s' else ['-X', 'NOOP'])], capture_output=True, text=True, timeout=60 * SLOW)
            assert done.returncode == 0, (scheme, mechanism, done.stderr)


def test_imported_hash_learns_scram(server):
    refused(scram, Wire(server, 'imap'), OLD, 'imported')
    assert plain(Wire(server, 'imap'), OLD, 'imported') is None
    for mechanism in SCRAMS:
        assert scram(Wire(server, 'pop3'), OLD, 'imported', mechanism) is None
    server.hato('account', 'password', OLD, '--password-stdin', input='fresh\n')
    refused(scram, Wire(server, 'imap'), OLD, 'imported')
    assert scram(Wire(server, 'imap'), OLD, 'fresh') is None


@pytest.mark.core
def test_app_passwords(server):
    made = server.hato('account', 'app-password', 'add', BOB, 'phone').stdout.strip()
    assert re.fullmatch(r'([a-z1-9]{5}-){3}[a-z1-9]{5}', made)
    other = server.hato('account', 'app-password', 'add', BOB, 'Old laptop').stdout.strip()
    assert server.hato('account', 'app-password', 'add', BOB, 'PHONE', check=False).returncode == 65
    for protocol in PROTOCOLS:
        for password in (made, other.upper().replace('-', ' '), 'secret'):
            enters(plain, Wire(server, protocol), BOB, password)
    refused(plain, Wire(server, 'imap'), ANN, made)
    listed = json.loads(server.hato('account', 'app-password', 'list', BOB, '--json').stdout)
    assert [a['name'] for a in listed] == ['Old laptop', 'phone'] and all(a['used'] for a in listed)
    server.hato('account', 'app-password', 'delete', BOB, 'phone')
    refused(plain, Wire(server, 'imap'), BOB, made)
    assert plain(Wire(server, 'imap'), BOB, other) is None
    assert server.hato('account', 'app-password', 'delete', BOB, 'phone', check=False).returncode == 67
    assert server.hato('account', 'app-password', 'add', 'none@example.test', 'x', check=False).returncode == 67


def test_app_passwords_required_and_mechanism_filter(tmp_path):
    main = 'app_passwords_required = yes\nimapd_sasl_mechanism_filter = plain\nsmtpd_sasl_mechanism_filter = !scram-sha-1, !login, static:rest\n'
    with running(tmp_path, ANN, BOB, main=main) as server:
        assert plain(Wire(server, 'imap'), ANN, 'secret') is None and scram(Wire(server, 'smtp'), ANN, 'secret') is None
        server.stop()
        made = server.hato('account', 'app-password', 'add', ANN, 'phone').stdout.strip()  # while the server is down as well
        server.start()
        for protocol in PROTOCOLS:
            refused(plain, Wire(server, protocol), ANN, 'secret')
            assert plain(Wire(server, protocol), ANN, made) is None
        refused(scram, Wire(server, 'smtp'), ANN, 'secret')
        assert plain(Wire(server, 'imap'), BOB, 'secret') is None
        words = Wire(server, 'imap').capabilities()
        assert 'AUTH=PLAIN' in words and 'SCRAM' not in words and 'AUTH=LOGIN' not in words
        refused(scram, Wire(server, 'imap'), BOB, 'secret')
        line = next(l for l in Wire(server, 'smtp').capabilities().split('\n') if 'AUTH' in l)
        assert 'SCRAM-SHA-256' in line and 'LOGIN' not in line and 'SCRAM-SHA-1 ' not in line + ' '


def test_clear_text_where_it_is_allowed(tmp_path):
    main = 'imapd_tls_auth_only = no\npop3d_tls_auth_only = no\n'
    with running(tmp_path, ANN, BOB, main=main) as server:
        for protocol in ('imap', 'pop3'):
            words = Wire(server, protocol, tls=False).capabilities()
            assert 'SCRAM-SHA-256' in words and '-PLUS' not in words and ('STARTTLS' in words or 'STLS' in words)
            assert scram(Wire(server, protocol, tls=False), ANN, 'secret', flag='y') is None
            assert plain(Wire(server, protocol, tls=False), BOB, 'secret') is None  # POP3 lets one in at a time


def openssl(*words):
    subprocess.run(['openssl', *map(str, words)], check=True, capture_output=True, timeout=60)


def test_external_with_a_client_certificate(tmp_path):
    """Who shows a certificate of our CA is whoever it names; others, and others' CAs, are nobody."""
    for ca in ('ours', 'theirs'):
        openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', f'/CN={ca}', '-days', '30',
                '-keyout', tmp_path / f'{ca}.key', '-out', tmp_path / f'{ca}.pem')
        openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=client', '-keyout', tmp_path / f'{ca}-c.key', '-out', tmp_path / 'csr')
        (tmp_path / 'ext').write_text(f'subjectAltName=email:{ANN},email:second@example.test\n')
        openssl('x509', '-req', '-in', tmp_path / 'csr', '-CA', tmp_path / f'{ca}.pem', '-CAkey', tmp_path / f'{ca}.key', '-CAcreateserial', '-days', '30',
                '-extfile', tmp_path / 'ext', '-out', tmp_path / f'{ca}-c.pem')

    def context(ca):
        c = ssl.create_default_context()
        c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
        c.load_cert_chain(tmp_path / f'{ca}-c.pem', tmp_path / f'{ca}-c.key')
        return c
    main = f'smtpd_tls_ask_ccert = yes\nsmtpd_tls_CAfile = {tmp_path}/ours.pem\nsmtpd_sasl_mechanism_filter = external, static:rest\n'
    (tmp_path / 'h').mkdir()
    with running(tmp_path / 'h', ANN, BOB, main=main) as server:
        for protocol in PROTOCOLS:
            w = Wire(server, protocol, tls=context('ours'))
            assert 'EXTERNAL' in w.capabilities()
            assert w.begin('EXTERNAL', '') is None
            w.leave()
            assert Wire(server, protocol, tls=context('ours')).begin('EXTERNAL', ANN) is None
            refused(Wire(server, protocol, tls=context('ours')).begin, 'EXTERNAL', BOB)
            refused(Wire(server, protocol, tls=context('ours')).begin, 'EXTERNAL', 'second@example.test')
            for other in (context('theirs'), True):
                w = Wire(server, protocol, tls=other)
                assert 'EXTERNAL' not in w.capabilities()
                refused(w.begin, 'EXTERNAL', '')


def test_external_by_tables(tmp_path):
    """sasl_external_cert_maps: by fingerprint (a certificate that nobody signed will do), by key, by address and by common name."""
    make_ca(tmp_path, 'ours'), make_ca(tmp_path, 'theirs')
    certify(tmp_path, 'ours', 'mail', '/CN=laptop', 'subjectAltName=email:Ann.Real@corp.test')
    certify(tmp_path, 'ours', 'name', '/CN=printer 7', 'basicConstraints=CA:FALSE')
    certify(tmp_path, 'ours', 'direct', '/CN=direct', f'subjectAltName=email:{ANN}')
    certify(tmp_path, 'theirs', 'mail2', '/CN=printer 7', 'subjectAltName=email:ann.real@corp.test')
    for name in ('own', 'own2', 'nobody'):
        make_ca(tmp_path, name)

    def digest(name, *more):
        out = subprocess.run(f'openssl x509 -in {tmp_path}/{name}.pem {" ".join(more)}', shell=True, check=True, capture_output=True, text=True).stdout
        return out.split('=')[-1].strip().upper()
    key = subprocess.run(f'openssl x509 -in {tmp_path}/own2.pem -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -c', shell=True, check=True,
                         capture_output=True, text=True).stdout.split('=')[-1].strip().upper()
    (tmp_path / 'map').write_text(f'{digest("own", "-noout", "-fingerprint", "-sha256")} {ANN}, {BOB}\n{key} {BOB}\nann.real@corp.test {ANN}\n')
    (tmp_path / 'names').write_text(f'/^printer 7$/ {BOB}\n')
    main = (f'smtpd_tls_ask_ccert = yes\nsmtpd_tls_CAfile = {tmp_path}/ours.pem\nsmtpd_sasl_mechanism_filter = external, static:rest\n'
            f'sasl_external_cert_maps = hash:{tmp_path}/map, regexp:{tmp_path}/names\n')
    (tmp_path / 'h').mkdir()
    with running(tmp_path / 'h', ANN, BOB, main=main) as server:
        def wire(protocol, name):
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.load_cert_chain(tmp_path / f'{name}.pem', tmp_path / f'{name}.key')
            return Wire(server, protocol, tls=context)

        def comes(protocol, name, asked, who):
            w = wire(protocol, name)
            assert 'EXTERNAL' in w.capabilities() and w.begin('EXTERNAL', asked) is None
            w.leave()
            kind = {'imap': 'imap-login', 'pop3': 'pop3-login', 'smtp': 'smtpd'}[protocol]
            if protocol != 'smtp':
                server.wait_log(rf'{kind}.*Login: user=<{who}>, method=EXTERNAL')
        for protocol in PROTOCOLS:
            for name, asked, who in (('own', '', ANN), ('own', BOB, BOB), ('own2', '', BOB), ('mail', '', ANN), ('mail', ANN, ANN), ('name', '', BOB), ('direct', '', ANN)):
                comes(protocol, name, asked, who)
        # mail2: names that a stranger's CA has signed prove nothing
        together(lambda protocol, name, asked: refused(wire(protocol, name).begin, 'EXTERNAL', asked),
                 [(protocol, *who) for protocol in PROTOCOLS for who in (('own2', ANN), ('nobody', ''), ('nobody', ANN), ('mail2', ''))])
        for protocol in PROTOCOLS:
            assert 'EXTERNAL' not in Wire(server, protocol).capabilities()
