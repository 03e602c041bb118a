# SPDX-License-Identifier: Apache-2.0
"""Settings of the receiving side: proxies in front of us, lists that wait, limits, log-in methods, what is logged."""
import base64, os, re, socket, ssl, struct, subprocess, time
import pytest
from around import *
from hato import Dialogue

ANN = 'ann@example.test'


def login(user='ann', password='secret'):
    return base64.b64encode(f'\0{user}\0{password}'.encode()).decode()


@pytest.fixture
def door(hosts):
    """make(main, options of smtpd): an instance that takes mail for ann@example.test."""
    def make(main='', options='', **more):
        return hosts(main='smtpd_peername_lookup = no\nsmtpd_error_sleep_time = 0\nsmtpd_tls_auth_only = no\n' + main, accounts=[ANN],
                     services={'smtp': f'smtpd {options}', 'imaps': 'imapd -o imapd_tls_wrappermode=yes'}, **more)
    return make


V2 = b'\r\n\r\n\0\r\nQUIT\n'


class Proxied(Dialogue):
    def __init__(self, h, *pieces, service='smtp'):
        self.socket = socket.create_connection((h.address, h.ports[service]), 20 * SLOW)
        self.file = self.socket.makefile('rb')
        for piece in pieces:
            self.socket.sendall(piece)
            time.sleep(0.05)
        self.banner = self.reply()


def test_haproxy(door):
    h = door('smtpd_upstream_proxy_timeout = 1s\nsmtpd_client_restrictions = check_client_access cidr:{{192.0.2.66/32 REJECT by address}}\n',
             '-o smtpd_upstream_proxy_protocol=haproxy', networks='10.0.0.0/8')
    two = V2 + b'\x21\x11' + struct.pack('!H4s4sHH', 12, bytes([192, 0, 2, 66]), bytes([192, 0, 2, 1]), 40000, 25)
    for pieces in ([b'PROXY TCP4 192.0.2.66 192.0.2.1 40000 25\r\n'], [b'PROXY TCP4 192.0.2.66 19', b'2.0.2.1 40000 25\r\n'], [two], [two[:5], two[5:20], two[20:]]):
        with Proxied(h, *pieces) as d:
            assert d.banner[0] == 220
            d.say('EHLO client.test', 250)
            d.say('MAIL FROM:<x@else.test>', 250)
            assert 'by address' in d.say(f'RCPT TO:<{ANN}>', 554)[1]
    wait_until(lambda: h.log().count('connect from unknown[192.0.2.66]') == 8, 5)  # connect, disconnect
    for piece in (b'PROXY UNKNOWN\r\n', V2 + b'\x20\0\0\0'):
        with Proxied(h, piece) as d:
            d.say('EHLO client.test', 250)
            d.say('MAIL FROM:<x@else.test>', 250)
            d.say(f'RCPT TO:<{ANN}>', 250)
    for bad in (b'EHLO client.test\r\n', b'PROXY TCP4 192.0.2.66\r\n', V2 + b'\x21\x11\xff\xff', b'PROXY '):
        with Proxied(h, bad) as d:
            assert d.banner[0] == 0
    h.wait_log(r'warning: haproxy read: unexpected text from \[127\.0\.0\.1\]')
    h.wait_log(r'warning: haproxy read: timeout error from \[127\.0\.0\.1\]')


def test_haproxy_is_for_its_listener_only(door):
    h = door()
    with Proxied(h, b'PROXY TCP4 192.0.2.66 192.0.2.1 40000 25\r\n') as d:
        assert d.reply()[0] != 250
    assert '192.0.2.66]' not in re.sub('PROXY TCP4.*', '', h.log())


def test_haproxy_before_postscreen(hosts):
    h = hosts(main='postscreen_upstream_proxy_protocol = haproxy\npostscreen_greet_wait = 1s\npostscreen_access_list =\n', accounts=[ANN],
              services={'smtp': 'postscreen'})
    with Proxied(h, b'PROXY TCP4 192.0.2.7 192.0.2.1 40000 25\r\n') as d:
        assert d.banner[0] == 220
    h.wait_log(r'CONNECT from \[192\.0\.2\.7\]:40000 to \[192\.0\.2\.1\]:25')
    h.wait_log(r'PASS NEW \[192\.0\.2\.7\]:40000')
    h.stop()
    h.start()  # it is remembered
    with Proxied(h, b'PROXY TCP4 192.0.2.7 192.0.2.1 40001 25\r\n') as d:
        assert d.banner[0] == 220
    h.wait_log(r'PASS OLD \[192\.0\.2\.7\]:40001')


def test_rates_survive_a_restart(door):
    h = door('smtpd_client_message_rate_limit = 2\nsmtpd_client_event_limit_exceptions =\n')
    for restart in (False, True):
        with h.dialogue() as d:
            d.ehlo()
            d.say('MAIL FROM:<x@else.test>', 250)
        if not restart:
            h.stop()
            h.start()
    with h.dialogue() as d:
        d.ehlo()
        d.say('MAIL FROM:<x@else.test>', 450)


def test_many_may_sleep(door):
    h = door('edge_worker_limit = 4\nsmtpd_delay_reject = no\nsmtpd_helo_restrictions = sleep 2, warn_if_reject reject\n')
    before = time.monotonic()
    many = [h.dialogue() for _ in range(20)]
    for d in many:
        d.raw('EHLO client.test\r\n')
    for d in many:
        assert d.reply()[0] == 250
    assert 2 <= time.monotonic() - before < 6
    assert h.log().count('reject_warning: EHLO') == 20
    for d in many:
        d.close()


def test_hasty_clients_are_caught_asleep(door):
    h = door('smtpd_delay_reject = no\nsmtpd_client_restrictions = sleep 1, reject_unauth_pipelining\nsmtpd_forbid_unauth_pipelining = no\n', networks='10.0.0.0/8')
    with socket.create_connection((h.address, h.ports['smtp']), 20) as s:
        s.sendall(b'EHLO client.test\r\n')
        assert s.makefile('rb').readline().startswith(b'503 5.5.0 <CONNECT>: Data command rejected') or 'improper' in h.log() or 'reject: CONNECT' in h.log()


def test_who_hangs_up_in_his_sleep(door):
    h = door('smtpd_sender_restrictions = sleep 60\n', networks='10.0.0.0/8')
    d = h.dialogue()
    d.ehlo()
    d.say('MAIL FROM:<x@else.test>', 250)
    d.raw(f'RCPT TO:<{ANN}>\r\n')
    time.sleep(0.2)
    d.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    d.file.close()
    d.socket.close()
    h.wait_log(r'lost connection after RCPT', 5)


@pytest.mark.parametrize('main, offered', [
    ('', True), ('smtpd_sasl_exceptions_networks = 127.0.0.0/8\n', False), ('smtpd_sasl_exceptions_networks = !127.0.0.1, 127.0.0.0/8\n', True),
    ('smtpd_sasl_security_options = noanonymous, noplaintext\n', 'scram'), ('smtpd_sasl_security_options = noanonymous, noactive\n', 'scram'),
    ('smtpd_sasl_type = dovecot\nsmtpd_sasl_security_options = noanonymous, noactive\n', True), ('smtpd_tls_auth_only = yes\n', False),
    ('broken_sasl_auth_clients = yes\n', 'both'),
])
def test_log_in_is_offered(door, main, offered):
    h = door(main, '-o smtpd_sasl_auth_enable=yes')
    with h.dialogue() as d:
        text = d.ehlo()
        assert ('250-AUTH ' in text) == bool(offered), text
        assert ('250-AUTH=' in text) == (offered == 'both'), text
        assert (' PLAIN' in text) == (offered in (True, 'both')), text


def test_log_in_without_plaintext_but_under_tls(door):
    h = door('smtpd_sasl_security_options = noanonymous, noplaintext\nsmtpd_sasl_tls_security_options = noanonymous\nsmtpd_tls_security_level = may\n', '-o smtpd_sasl_auth_enable=yes')
    with h.dialogue() as d:
        assert ' PLAIN' not in d.ehlo()
        d.say(f'AUTH PLAIN {login(ANN)}', 538)
        d.say('STARTTLS', 220)
        d.socket = NO_NAME.wrap_socket(d.socket)
        d.file = d.socket.makefile('rb')
        assert ' PLAIN' in d.ehlo()
        d.say(f'AUTH PLAIN {login(ANN)}', 235)


def test_names_without_domain_log_in(door):
    h = door('smtpd_sasl_local_domain = example.test\n', '-o smtpd_sasl_auth_enable=yes')
    with h.dialogue() as d:
        d.ehlo()
        d.say(f'AUTH PLAIN {login("ann")}', 235)


def test_refusals_are_reworded(door):
    h = door('smtpd_reject_filter_maps = regexp:{{/^550 5\\.1\\.1 .*nobody/ 554 5.7.1 Go away}, {/^501/ not a reply}}\n', networks='10.0.0.0/8')
    with h.dialogue() as d:
        d.ehlo()
        d.say('MAIL FROM:<x@else.test>', 250)
        assert d.say('RCPT TO:<nobody@example.test>') == (554, '554 5.7.1 Go away')
        d.say('MAIL x', 503)
        d.say('EHLO', 501)
    h.wait_log('reject: RCPT from .*: 550 5.1.1')
    h.wait_log('smtpd_reject_filter_maps: "not a reply" is no refusal')


def test_new_tls_sessions_are_limited(door):
    h = door('smtpd_client_new_tls_session_rate_limit = 1\nsmtpd_client_event_limit_exceptions =\nsmtpd_tls_security_level = may\n')
    def start():
        d = h.dialogue()
        d.ehlo()
        reply = d.say('STARTTLS')
        if reply[0] == 220:
            d.socket = NO_NAME.wrap_socket(d.socket)
            d.file = d.socket.makefile('rb')
            reply = d.say('EHLO again')
        d.close()
        return reply
    assert start()[0] == 250
    assert start()[1].startswith('421 4.7.0 mail.example.test Error: too many new TLS sessions from')
    assert start()[1].startswith('454 4.7.0 Error: too many new TLS sessions from')


def test_no_room(door):
    h = door('queue_minfree = 900000000000000\n')
    with h.dialogue() as d:
        d.ehlo()
        assert d.say('MAIL FROM:<x@else.test>') == (452, '452 4.3.1 Insufficient system storage')
    h.wait_log('reject: MAIL from .*: 452 4.3.1 Insufficient system storage')


def test_conversations_are_logged(door):
    h = door('debug_peer_list = 127.0.0.0/8\n', '-o smtpd_sasl_auth_enable=yes')
    with h.dialogue() as d:
        d.ehlo()
        d.say(f'AUTH PLAIN {login(ANN)}', 235)
    h.wait_log(r'smtpd\[\d+\]: (\S+: )?< localhost\[127\.0\.0\.1\]: EHLO client\.test')
    h.wait_log(r'> localhost\[127\.0\.0\.1\]: 250-mail\.example\.test')
    assert login(ANN) not in h.log()


def test_routes_may_be_trusted(door):
    for main, code in (('', 554), ('allow_untrusted_routing = yes\n', 550)):
        h = door(main + 'relay_domains = else.test\n', networks='10.0.0.0/8')
        with h.dialogue() as d:
            d.ehlo()
            d.say('MAIL FROM:<x@else.test>', 250)
            got = d.say('RCPT TO:<"a@b.test"@else.test>')
            assert (got[0] == 554) == (main == ''), got


# smtpd_proxy_filter.

def filtered(door, sink, **rules):
    f = sink(extensions=['PIPELINING', '8BITMIME', 'ENHANCEDSTATUSCODES', 'XFORWARD NAME ADDR PROTO HELO'], **rules)
    return f, door('', f'-o smtpd_proxy_filter=127.0.0.1:{f.port} -o smtpd_proxy_ehlo=proxy.test')


def hand_in(h, *to):
    with h.dialogue() as d:
        d.ehlo()
        d.say('MAIL FROM:<x@else.test>', 250)
        for t in to or [ANN]:
            d.say(f'RCPT TO:<{t}>', 250)
        d.say('DATA', 354)
        d.raw('From: x@else.test\r\nSubject: filtered\r\n\r\ntext\r\n.\r\n')
        return d.reply()


def test_the_filter_answers(door, sink):
    f, h = filtered(door, sink)
    code, text = hand_in(h)
    assert code == 250 and 'taken as' in text
    sender, to, body = f.messages[0]
    assert (sender, to) == ('x@else.test', [ANN]) and body.startswith(b'Received: from client.test') and b'Return-Path' not in body
    assert any(c.startswith('EHLO proxy.test') for c in f.commands)
    assert any('XFORWARD' in c and 'ADDR=127.0.0.1' in c for c in f.commands)
    h.wait_log(r'smtpd\[\d+\]: NOQUEUE: client=')
    h.wait_log(r'proxy-accept: END-OF-MESSAGE: 250 2\.0\.0 .*taken as \w+; from=<x@else\.test> to=<ann@example\.test> proto=ESMTP helo=<client\.test>')
    assert h.messages(ANN) == []


def test_the_filter_refuses(door, sink):
    f, h = filtered(door, sink, replies={'.': '554 5.7.1 spam'})
    assert hand_in(h) == (554, '554 5.7.1 spam')
    h.wait_log(r'NOQUEUE: proxy-reject: END-OF-MESSAGE from \S+: 554 5\.7\.1 spam; from=<x@else\.test>')
    f.rules['replies'] = {'RCPT TO:<bob@example.test>': '550 5.1.1 no bob'}
    h.account('bob@example.test')
    assert hand_in(h, 'bob@example.test') == (550, '550 5.1.1 no bob')
    before = len(f.messages)
    assert hand_in(h, ANN, 'bob@example.test')[0] == 451  # for all or for nobody
    assert len(f.messages) == before
    f.stop()
    assert hand_in(h)[0] == 451
    h.wait_log('warning: proxy .*127.0.0.1:')


# sendmail while nobody is there.

def sendmail(h, *args, input):
    return subprocess.run([os.path.join(os.path.dirname(HATO), 'sendmail'), '-C', h.folder, *args], input=input, capture_output=True, text=True, timeout=30)


def test_smtp_on_standard_input_while_the_server_is_down(door):
    h = door()
    h.stop()
    done = sendmail(h, '-bs', input='EHLO me\nMAIL FROM:<x@else.test>\nRCPT TO:<ann@example.test>\nDATA\nFrom: x@else.test\nSubject: later\n\n..dot\n.\nQUIT\n')
    assert re.findall('^\\d{3} ', done.stdout, re.M) == ['220 ', '250 ', '250 ', '250 ', '354 ', '250 ', '221 '], done
    h.start()
    assert h.wait_message(ANN, 'later').get_payload().strip() == '.dot'


def test_notices_wished_while_the_server_is_down(door):
    h = door()
    h.stop()
    wish = 'RCPT TO:<ann@example.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first+2Bname@else.test'
    done = sendmail(h, '-bs', input=f'EHLO me\nMAIL FROM:<{ANN}> RET=HDRS ENVID=mine+2B1\n{wish}\nRCPT TO:<nobody@example.test> NOTIFY=NEVER\n'
                    'DATA\nSubject: told\n\nx\n.\nQUIT\n')
    assert re.findall('^\\d{3} ', done.stdout, re.M) == ['220 ', '250 ', '250 ', '250 ', '250 ', '354 ', '250 ', '221 '], done
    h.start()
    h.wait_message(ANN, 'told')
    wait_until(lambda: len(h.messages(ANN)) >= 2, 10, lambda: h.log())
    notice = next(m for m in h.messages(ANN) if m.get_content_type() == 'multipart/report').as_string()
    assert 'Original-Recipient: rfc822;first+name@else.test' in notice and 'Action: delivered' in notice
    assert 'Original-Envelope-Id: mine+1' in notice and 'nobody@' not in notice and len(h.messages(ANN)) == 2


def test_sent_again(door):
    h = door()
    done = sendmail(h, '-t', '-F', 'Again Sender', '-f', ANN, input='From: old@else.test\nTo: nobody@else.test\nDate: Mon, 1 Jan 2024 00:00:00 +0000\nResent-To: ann@example.test\nSubject: again\n\nx\n')
    assert done.returncode == 0, done
    m = h.wait_message(ANN, 'again')
    assert m['Resent-From'] == f'Again Sender <{ANN}>' and m['Resent-Date'] and m['Resent-Message-Id'] and m['From'] == 'old@else.test'
    assert m['Date'].startswith('Mon, 1 Jan 2024')


def test_verp_from_sendmail_and_back(door):
    h = door('recipient_delimiter = +\n')
    done = sendmail(h, '-XV', '-f', ANN, 'nobody@example.test', 'nobody2@example.test', input='Subject: verp\n\nx\n')
    assert done.returncode == 0, done
    wait_until(lambda: len(h.messages(ANN)) == 2, 10, lambda: h.log())
    assert sorted(m['To'] for m in h.messages(ANN)) == ['ann+nobody2=example.test@example.test', 'ann+nobody=example.test@example.test']
    assert sendmail(h, '-XV+', '-f', ANN, ANN, input='x\n').returncode == 75


# tls_server_sni_maps.

def shown(h, name):
    """The name in the certificate that who asks for this name sees."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with h.dialogue() as d:
        d.ehlo()
        d.say('STARTTLS', 220)
        with context.wrap_socket(d.socket, server_hostname=name) as s:
            pem = ssl.DER_cert_to_PEM_cert(s.getpeercert(True))
    return subprocess.run(['openssl', 'x509', '-noout', '-subject'], input=pem, capture_output=True, text=True).stdout


def test_certificates_by_name(door, folder):
    files = {n: make_certificate(folder, n, f'{n}.inside.test') for n in ('one', 'two')}
    with open(f'{folder}/sni', 'w') as f:
        f.write(f'one.test {files["one"][1]} {files["one"][0]}\n.two.test {files["two"][1]}, {files["two"][0]}\n')
    h = door(f'smtpd_tls_security_level = may\ntls_server_sni_maps = texthash:{folder}/sni\n')
    assert 'one.inside.test' in shown(h, 'one.test') and 'one.inside.test' in shown(h, 'ONE.test')
    assert 'two.inside.test' in shown(h, 'mail.two.test') and 'two.inside.test' in shown(h, 'a.b.two.test')
    assert 'mail.example.test' in shown(h, 'two.test') and 'mail.example.test' in shown(h, 'other.test')


def test_a_submission_service_that_hides_its_clients(door):
    h = door('smtpd_hide_client_session = yes\nmydestination = moved.test\nrelocated_maps = inline:{{left@moved.test = 5.1.6 is with us no more}}\nrelocated_prefix_enable = no\n')
    h.send('x@else.test', ANN, 'Subject: hidden\n\nx\n')
    m = h.wait_message(ANN, 'hidden')
    assert re.fullmatch(r'by mail\.example\.test \([^)]*\)\s+id [0-9A-Za-z]+;\s+.* [+-]\d{4}( \(\w+\))?', m['Received'], re.S), m['Received']
    with h.dialogue() as talk:
        talk.ehlo()
        talk.say('MAIL FROM:<x@else.test>', 250)
        assert 'is with us no more' in str(talk.say('RCPT TO:<left@moved.test>', 550)) and 'has moved' not in h.log()
