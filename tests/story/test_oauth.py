# SPDX-License-Identifier: Apache-2.0
"""OAUTHBEARER (RFC 7628) and XOAUTH2 in SMTP, IMAP and POP3 against a token introspection server, with Python's own clients, curl and msmtp."""
import base64, imaplib, json, os, poplib, smtplib, subprocess, time
import pytest
from around import *
from hato import running
from saslclient import Refused, Wire, b64, plain
from tokens import TokenServer

ANN, BOB = 'ann@example.test', 'bob@example.test'
PROTOCOLS = ('imap', 'pop3', 'smtp')
TOKEN = 'vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=='


def bearer(token, user=ANN, more=''):
    return f'n,{"a=" + user if user else ""},\1host=localhost\1port=143{more}\1auth=Bearer {token}\1\1'


def xoauth2(token, user=ANN):
    return f'user={user}\1auth=Bearer {token}\1\1'


@pytest.fixture(scope='module')
def tokens(tmp_path_factory):
    server = TokenServer(tmp_path_factory.mktemp('tokens'))
    server.tokens = {TOKEN: {'username': 'ann', 'email': ANN, 'scope': 'openid mail', 'exp': int(time.time()) + 3600},
                     'bobs': {'email': BOB, 'scope': 'mail'}, 'bobs-other': {'email': BOB, 'scope': 'openid'},
                     'old': {'email': ANN, 'scope': 'mail', 'exp': int(time.time()) - 5}, 'nobodys': {'email': 'nobody@example.test', 'scope': 'mail'}}
    yield server
    server.close()


@pytest.fixture(scope='module')
def server(tmp_path_factory, tokens):
    folder = tmp_path_factory.mktemp('oauth')
    (folder / 'secret').write_text(tokens.secret + '\n')
    os.chmod(folder / 'secret', 0o600)
    main = (f'sasl_oauth2_introspection_url = {tokens.url}/introspect\nsasl_oauth2_client_id = {tokens.client}\n'
            f'sasl_oauth2_client_secret_file = {folder}/secret\nsasl_oauth2_tls_CAfile = {tokens.ca}\nsasl_oauth2_scope = mail\n'
            f'sasl_oauth2_openid_configuration_url = {tokens.url}/.well-known/openid-configuration\n')
    with running(folder, ANN, BOB, main=main) as instance:
        yield instance


def told(wire, mechanism, message):
    """The server's JSON for a refused client, who then ends the exchange."""
    error = json.loads(wire.begin(mechanism, message))
    with pytest.raises(Refused) as e:
        wire.say('\1')
    return error, str(e.value)


@pytest.mark.core
@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_tokens(server, tokens, protocol):
    words = Wire(server, protocol).capabilities().replace('AUTH=', ' ').split()
    assert {'OAUTHBEARER', 'XOAUTH2'} <= set(words)
    words = Wire(server, protocol, tls=False).capabilities()
    assert 'OAUTH' not in words
    assert Wire(server, protocol).begin('OAUTHBEARER', bearer(TOKEN)) is None
    assert Wire(server, protocol).begin('XOAUTH2', xoauth2(TOKEN)) is None
    assert Wire(server, protocol).begin('OAUTHBEARER', bearer(TOKEN, user='')) is None   # the token says who it is
    assert Wire(server, protocol).begin('XOAUTH2', xoauth2('bobs', BOB.upper())) is None
    wire = Wire(server, protocol)
    assert wire.begin('OAUTHBEARER') == b'' and wire.say(bearer(TOKEN)) is None            # without an initial response
    word = {'imap': 'AUTHENTICATIONFAILED', 'pop3': '[AUTH]', 'smtp': '535'}[protocol]

    def tell(token, user, status):
        error, last = told(Wire(server, protocol), 'OAUTHBEARER', bearer(token, user))
        assert error == {'status': status, 'scope': 'mail', 'openid-configuration': f'{tokens.url}/.well-known/openid-configuration'} and word in last
        error, last = told(Wire(server, protocol), 'XOAUTH2', xoauth2(token, user))
        assert error == {'status': '403' if 'scope' in status else '401', 'schemes': 'bearer', 'scope': 'mail'} and word in last
    together(tell, (('unheard-of', ANN, 'invalid_token'), ('old', ANN, 'invalid_token'), ('bobs-other', BOB, 'insufficient_scope'),
                    ('nobodys', 'nobody@example.test', 'invalid_token'), ('bobs', ANN, 'invalid_token')))  # each refusal takes two seconds
    error, last = told(Wire(server, protocol), 'OAUTHBEARER', f'n,a={ANN},\1host=localhost\1auth=\1\1')  # RFC 7628 §4.3: where are tokens had?
    assert error['status'] == 'invalid_token' and 'openid-configuration' in error


@pytest.mark.core
def test_broken_messages(server):
    for protocol in PROTOCOLS:
        for message in ('n,,', f'n,,\1auth=Basic {TOKEN}\1\1', f'p=x,,\1auth=Bearer {TOKEN}\1\1', f'n,b={ANN},\1auth=Bearer {TOKEN}\1\1',
                        'n,,\1auth=Bearer \1\1', 'n,,\1auth=Bearer a b\1\1', 'n,a=\xff,\1auth=Bearer x\1\1'.encode('latin-1'), ''):
            with pytest.raises(Refused):
                Wire(server, protocol).begin('OAUTHBEARER', message)
    assert plain(Wire(server, 'imap'), ANN, 'secret') is None


def test_asked_once_and_said_nowhere(server, tokens):
    tokens.tokens['short'] = {'email': ANN, 'scope': 'mail', 'exp': int(time.time()) + 2}
    before = len(tokens.asked)
    for _ in range(3):
        assert Wire(server, 'smtp').begin('XOAUTH2', xoauth2('short')) is None
    assert len(tokens.asked) == before + 1 and tokens.asked[-1][0] == 'post'
    time.sleep(2.2)
    told(Wire(server, 'imap'), 'XOAUTH2', xoauth2('short'))  # its end counts, whatever is remembered
    log = server.log()
    assert TOKEN not in log and b64(bearer(TOKEN)) not in log and b64(xoauth2(TOKEN)) not in log and tokens.secret not in log
    assert 'OAuth 2 token refused: it has expired' in log and 'method=XOAUTH2' in log


def test_a_server_that_cannot_tell(server, tokens):
    word = {'imap': 'UNAVAILABLE', 'pop3': '[SYS/TEMP]', 'smtp': '454'}
    try:
        for broken in ((500, {}), (200, b'<html>'), (200, b'{"active":true,"email":' + b'[' * 100000), (401, {'error': 'invalid_client'})):
            tokens.broken = broken
            for protocol in PROTOCOLS:
                with pytest.raises(Refused) as e:
                    Wire(server, protocol).begin('OAUTHBEARER', bearer('another'))
                assert word[protocol] in str(e.value)
    finally:
        tokens.broken = None
    server.wait_log('sasl_oauth2_introspection_url: the server answers with HTTP status 500')
    assert plain(Wire(server, 'imap'), ANN, 'secret') is None


def test_pythons_clients(server):
    m = imaplib.IMAP4_SSL(server.address, server.ports['imaps'], ssl_context=NO_NAME, timeout=60 * SLOW)
    assert m.authenticate('OAUTHBEARER', lambda challenge: bearer(TOKEN).encode())[0] == 'OK' and m.select()[0] == 'OK'
    m.logout()
    m = imaplib.IMAP4_SSL(server.address, server.ports['imaps'], ssl_context=NO_NAME, timeout=60 * SLOW)
    errors = []
    with pytest.raises(imaplib.IMAP4.error):
        m.authenticate('XOAUTH2', lambda challenge: errors.append(challenge) or (b'' if len(errors) > 1 else xoauth2('bad').encode()))
    assert json.loads(errors[1])['status'] == '401'
    s = smtplib.SMTP_SSL(server.address, server.ports['smtps'], context=NO_NAME, timeout=60 * SLOW)
    s.ehlo()
    assert s.auth('XOAUTH2', lambda challenge=None: xoauth2(TOKEN) if challenge is None else '')[0] == 235
    s.sendmail(ANN, [BOB], 'Subject: by token\r\n\r\nx\r\n')
    s.quit()
    server.wait_message(BOB, 'by token')
    p = poplib.POP3_SSL(server.address, server.ports['pop3s'], context=NO_NAME, timeout=60 * SLOW)
    assert p._shortcmd('AUTH XOAUTH2 ' + b64(xoauth2('bobs', BOB))).startswith(b'+OK') and p.stat()[0] >= 1
    p.quit()


def curl(server, scheme, token, *more):
    return subprocess.run(['curl', '-sSk', '--user', ANN, '--oauth2-bearer', token, f'{scheme}://{server.address}:{server.ports[scheme]}/', *more],
                          capture_output=True, text=True, timeout=60 * SLOW)


def test_curl(server, tmp_path):
    (tmp_path / 'mail').write_bytes(f'From: {ANN}\r\nTo: {BOB}\r\nSubject: curl by token\r\n\r\nx\r\n'.encode())
    for options in ((), ('--login-options', 'AUTH=XOAUTH2'), ('--login-options', 'AUTH=OAUTHBEARER')):
        done = curl(server, 'imaps', TOKEN, '-X', 'NOOP', *options)
        assert done.returncode == 0, (options, done.stderr)
        assert curl(server, 'imaps', 'wrong', '-X', 'NOOP', *options).returncode == 67
        done = curl(server, 'smtps', TOKEN, '--mail-from', ANN, '--mail-rcpt', BOB, '-T', str(tmp_path / 'mail'), *options)
        assert done.returncode == 0, (options, done.stderr)
        assert curl(server, 'pop3s', TOKEN, *options).returncode == 0
    server.wait_message(BOB, 'curl by token')


@pytest.mark.parametrize('mechanism', ['oauthbearer', 'xoauth2'])
def test_msmtp(server, mechanism, tmp_path):
    done = subprocess.run(['msmtp', '--version'], capture_output=True, text=True)
    if mechanism not in done.stdout.lower():
        pytest.skip(f'this msmtp has no {mechanism}')
    done = subprocess.run(['msmtp', '-C', '/dev/null', f'--host={server.address}', f'--port={server.ports["smtps"]}', '--tls=on', '--tls-starttls=off',
                           '--tls-certcheck=off', f'--auth={mechanism}', f'--user={ANN}', f'--passwordeval=echo {TOKEN}', f'--from={ANN}', BOB],
                          input=f'Subject: msmtp {mechanism}\n\nx\n', capture_output=True, text=True, timeout=60 * SLOW)
    assert done.returncode == 0, done.stderr
    server.wait_message(BOB, f'msmtp {mechanism}')


@pytest.mark.parametrize('mode', ['auth', 'get'])
def test_other_ways_to_ask(tmp_path, tokens, mode):
    where = {'auth': '/userinfo', 'get': '/tokeninfo?token='}[mode]
    main = f'sasl_oauth2_introspection_url = {tokens.url}{where}\nsasl_oauth2_introspection_mode = {mode}\nsasl_oauth2_tls_CAfile = {tokens.ca}\n'
    with running(tmp_path, ANN, main=main) as server:
        assert Wire(server, 'imap').begin('XOAUTH2', xoauth2(TOKEN)) is None
        assert tokens.asked[-1][:2] == (mode, TOKEN)
        told(Wire(server, 'imap'), 'XOAUTH2', xoauth2('wrong'))


def test_nobody_is_trusted_without_a_root(tmp_path, tokens):
    """The server's certificate must be proved; and without a URL nothing is offered; a change comes with a reload."""
    with running(tmp_path, ANN, main=f'sasl_oauth2_introspection_url = {tokens.url}/introspect\n') as server:
        with pytest.raises(Refused) as e:
            Wire(server, 'imap').begin('XOAUTH2', xoauth2(TOKEN))
        assert 'UNAVAILABLE' in str(e.value)
        server.wait_log('sasl_oauth2_introspection_url: HTTP: .*certificate')
        server.configure(main='')
        server.hato('reload')
        wait_until(lambda: 'OAUTH' not in Wire(server, 'imap').capabilities(), 20)
        with pytest.raises(Refused):
            Wire(server, 'imap').begin('XOAUTH2', xoauth2(TOKEN))
