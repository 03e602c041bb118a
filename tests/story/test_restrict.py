# SPDX-License-Identifier: Apache-2.0
"""Access control beyond what the twins compare: policy servers, address verification, ETRN, what access tables do to a message,
and lists of one service only."""
import os, re, smtplib, socket, socketserver, ssl, subprocess, threading, time
import pytest
from around import *
from sink import Sink

ANN, BOB = 'ann@a.test', 'bob@a.test'
pytestmark = pytest.mark.root


class Policy(socketserver.ThreadingTCPServer):
    """A policy server: answer(request) gives the action; None hangs up. All requests are in .requests."""
    daemon_threads = allow_reuse_address = True

    def __init__(self, answer):
        self.answer, self.requests, self.connections = answer, [], 0
        super().__init__(('127.0.0.1', 0), self.Handler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            self.server.connections += 1
            lines = []
            for line in self.rfile:
                line = line.decode().rstrip('\n')
                if line:
                    lines.append(line)
                    continue
                request = dict(l.split('=', 1) for l in lines)
                self.server.requests.append(request)
                lines = []
                action = self.server.answer(request)
                if action is None:
                    return
                self.wfile.write(f'action={action}\n\n'.encode())


@pytest.fixture
def policy():
    made = []

    def start(answer):
        made.append(Policy(answer))
        return made[-1]
    yield start
    for p in made:
        p.shutdown()
        p.server_close()


def ask(server, to=ANN, sender='x@far.test', service='smtp', helo='client.test'):
    with server.dialogue(service) as talk:
        talk.ehlo(helo)
        talk.say(f'MAIL FROM:<{sender}>', 250)
        return talk.say(f'RCPT TO:<{to}>')


def test_policy_server(hosts, policy):
    p = policy(lambda r: 'DEFER_IF_PERMIT greylisted' if r['sender'] == 'new@far.test' else 'REJECT 5.7.1 not you' if r['sender'] == 'bad@far.test' else 'DUNNO')
    server = hosts('mail.a.test', f'smtpd_recipient_restrictions = check_policy_service {{ inet:127.0.0.1:{p.port}, policy_context=door, timeout=5s }}\n', accounts=[ANN])
    assert ask(server, sender='new@far.test') == (450, f'450 4.7.1 <{ANN}>: Recipient address rejected: greylisted')
    assert ask(server, sender='bad@far.test') == (554, f'554 5.7.1 <{ANN}>: Recipient address rejected: not you')
    assert ask(server)[0] == 250
    r = p.requests[-1]
    assert r['request'] == 'smtpd_access_policy' and r['protocol_state'] == 'RCPT' and r['protocol_name'] == 'ESMTP'
    assert r['client_address'] == '127.0.0.1' and r['client_name'] == 'localhost' and r['helo_name'] == 'client.test'
    assert r['sender'] == 'x@far.test' and r['recipient'] == ANN and r['policy_context'] == 'door' and r['recipient_count'] == '0'
    assert r['server_port'] == str(server.ports['smtp']) and r['instance'] and r['client_port'].isdigit()
    assert {'size', 'sasl_method', 'sasl_username', 'ccert_subject', 'encryption_protocol', 'etrn_domain', 'stress', 'mail_version', 'compatibility_level', 'queue_id', 'reverse_client_name', 'server_address'} <= set(r)
    assert p.connections == 1  # kept and used again


def test_policy_server_that_fails(hosts, policy):
    p = policy(lambda r: None)
    server = hosts('mail.a.test', f'smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:{p.port}\n'
                                  'smtpd_policy_service_try_limit = 2\nsmtpd_policy_service_retry_delay = 1s\n', accounts=[ANN])
    assert ask(server) == (451, f'451 4.3.5 <{ANN}>: Recipient address rejected: Server configuration problem')
    assert p.connections == 2
    server.wait_log('warning: problem talking to server')


def test_policy_at_data(hosts, policy):
    p = policy(lambda r: 'DUNNO')
    server = hosts('mail.a.test', f'smtpd_data_restrictions = check_policy_service inet:127.0.0.1:{p.port}\nsmtpd_end_of_data_restrictions = check_policy_service inet:127.0.0.1:{p.port}\n', accounts=[ANN, BOB])
    server.send('x@far.test', [ANN, BOB], message('x@far.test', ANN, 'two', 'text\n'))
    states = [(r['protocol_state'], r['recipient_count'], r['recipient']) for r in p.requests]
    assert states == [('DATA', '2', ''), ('END-OF-MESSAGE', '2', '')]
    assert int(p.requests[1]['size']) > 50 and p.requests[0]['queue_id'] and p.requests[0]['instance'] == p.requests[1]['instance']


def test_what_tables_do_to_a_message(hosts):
    sink = Sink()
    server = hosts('mail.a.test', f'''relayhost = [127.0.0.1]:{sink.port}
smtp_tls_security_level = none
smtpd_sender_restrictions = check_sender_access inline:{{{{hold@far.test=HOLD}}, {{gone@far.test=DISCARD}}, {{head@far.test=PREPEND X-Seen: yes}}, {{copy@far.test=BCC {BOB}}}, {{turn@far.test=REDIRECT {BOB}}}}}
''', accounts=[ANN, BOB])
    for who in ('hold', 'gone', 'head', 'copy', 'turn'):
        server.send(f'{who}@far.test', ANN, message(f'{who}@far.test', ANN, who, 'text\n'))
    assert server.wait_message(ANN, 'head')['X-Seen'] == 'yes'
    assert server.wait_message(BOB, 'turn') and server.wait_message(BOB, 'copy') and server.wait_message(ANN, 'copy')
    log = server.log()
    for what in ('hold: RCPT from localhost', 'discard: RCPT from localhost', 'bcc: RCPT from localhost', 'redirect: RCPT from localhost'):
        assert what in log, what
    assert sorted(server.subjects(ANN)) == ['copy', 'head'] and sorted(server.subjects(BOB)) == ['copy', 'turn']
    assert 'hold@far.test' in server.hato('queue', 'list').stdout


def test_verification(hosts):
    sink = Sink(replies={'RCPT TO:<bad@far.test>': '550 5.1.1 nobody here', 'RCPT TO:<late@far.test>': '450 4.2.0 wait'})
    server = hosts('mail.a.test', f'''relayhost = [127.0.0.1]:{sink.port}
smtp_tls_security_level = none
smtpd_sender_restrictions = reject_unverified_sender
unverified_sender_reject_code = 550
address_verify_poll_count = 5
address_verify_poll_delay = 2s
''', accounts=[ANN])
    assert ask(server, sender='good@far.test')[0] == 250
    code, text = ask(server, sender='bad@far.test')
    assert code == 550 and text.startswith('550 5.1.7 <bad@far.test>: Sender address rejected: undeliverable address: host 127.0.0.1[127.0.0.1] said: 550 5.1.1 nobody here'), text
    code, text = ask(server, sender='late@far.test')
    assert code == 450 and text.startswith('450 4.1.7 <late@far.test>: Sender address rejected: unverified address: host'), text
    assert ask(server, sender=ANN)[0] == 250 and ask(server, sender='nobody@a.test')[0] == 550
    probes = [c for c in sink.commands if c.upper().startswith(('RCPT', 'DATA'))]
    assert not [c for c in probes if c.upper().startswith('DATA')] and not sink.messages
    asked = len(sink.commands)
    assert ask(server, sender='bad@far.test')[0] == 550 and len(sink.commands) == asked  # remembered
    assert f'MAIL FROM:<double-bounce@mail.a.test>' in '\n'.join(sink.commands)
    server.stop()
    server.start()
    assert ask(server, sender='bad@far.test')[0] == 550 and len(sink.commands) == asked  # also after a restart
    server.wait_log(r'to=<good@far\.test>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, delay=[\d.]+, dsn=2\.\d\.\d, status=deliverable')


def test_probes_may_go_on_to_data(hosts):
    """smtp_address_verify_target = data: for servers that refuse recipients only there; no text is ever sent."""
    open_, strict = Sink(), Sink(replies={'DATA': '550 5.1.1 nobody of that name'})
    server = hosts('mail.a.test', f'''transport_maps = inline:{{{{open.test=smtp:[127.0.0.1]:{open_.port}}}, {{strict.test=smtp:[127.0.0.1]:{strict.port}}}}}
smtp_tls_security_level = none
smtp_address_verify_target = data
smtpd_sender_restrictions = reject_unverified_sender
unverified_sender_reject_code = 550
address_verify_poll_count = 5
address_verify_poll_delay = 2s
''', accounts=[ANN])
    assert ask(server, sender='x@open.test')[0] == 250
    code, text = ask(server, sender='x@strict.test')
    assert code == 550 and '550 5.1.1 nobody of that name (in reply to DATA command)' in text, text
    assert 'DATA' in open_.commands and open_.commands[-1] == 'DATA' and not open_.messages and not strict.messages


def test_probes_go_their_own_way(hosts):
    sink, other = Sink(), Sink(replies={'RCPT TO:<x@far.test>': '550 5.1.1 nobody here'})
    server = hosts('mail.a.test', f'''relayhost = [127.0.0.1]:{sink.port}
address_verify_relayhost = [127.0.0.1]:{other.port}
smtp_tls_security_level = none
smtpd_sender_restrictions = reject_unverified_sender
address_verify_poll_count = 5
address_verify_poll_delay = 1s
''', accounts=[ANN])
    assert ask(server, sender='good@far.test')[0] == 250 and ask(server, sender='x@far.test')[0] == 450
    assert other.commands and not sink.commands


def test_address_verify_sender_ttl(hosts):
    """The sender of probes has the time in it; from and for it everything is taken, and nothing is kept."""
    sink = Sink()
    server = hosts('mail.a.test', f'''relayhost = [127.0.0.1]:{sink.port}
smtp_tls_security_level = none
smtpd_sender_restrictions = reject_unverified_sender
address_verify_sender_ttl = 7001
address_verify_poll_count = 5
address_verify_poll_delay = 1s
''', accounts=[ANN])

    def sender(time):
        digits, n, text = '0123456789BCDFGHJKLMNPQRSTVWXYZ', int(time // 7001), ''
        while n:
            n, text = n // 31, digits[n % 31] + text
        return f'double-bounce{text}@mail.a.test'
    before = time.time()
    assert ask(server, sender='good@far.test')[0] == 250
    asked = [c.split(' SIZE')[0] for c in sink.commands if c.upper().startswith('MAIL')]
    assert asked and set(asked) <= {f'MAIL FROM:<{sender(t)}>' for t in (before, time.time())}, asked
    for then, code in ((0, 250), (-7001, 250), (7001, 250), (-30000, 550), (30000, 550)):
        assert ask(server, sender='', to=sender(time.time() + then))[0] == code, then
    assert ask(server, sender='', to='double-bounce@mail.a.test')[0] == 250  # double_bounce_sender itself, as with Postfix
    assert ask(server, sender='', to='double-bounced@mail.a.test')[0] == 550


def test_etrn(hosts):
    sink = Sink(greylist=1)
    server = hosts('mail.a.test', f'''relayhost = [127.0.0.1]:{sink.port}
smtp_tls_security_level = none
fast_flush_domains = far.test
minimal_backoff_time = 1000s
''', accounts=[ANN])
    server.send(ANN, 'x@far.test', message(ANN, 'x@far.test', 'later', 'text\n'), 'submission', ANN)
    server.wait_log('status=deferred')
    with server.dialogue() as talk:
        talk.ehlo()
        assert talk.say('ETRN elsewhere.test') == (459, '459 <elsewhere.test>: service unavailable')
        assert talk.say('ETRN !') == (501, '501 Error: invalid parameter syntax')
        assert talk.say('ETRN far.test') == (250, '250 Queuing started')
    wait_until(lambda: sink.messages, 20, server.log)


def test_lists_of_one_service(hosts):
    port = free_port()
    server = hosts('mail.a.test', 'smtpd_client_restrictions = check_client_access inline:{{127.0.0.1=REJECT not here}}\nsmtpd_reject_footer = \\c. For help, ask $server_name\n',
                   accounts=[ANN], services={'smtp': 'smtpd', 'other': 'smtpd -o smtpd_client_restrictions= -o { smtpd_helo_restrictions = check_helo_access inline:{no.test=REJECT} }'})
    assert ask(server) == (554, '554 5.7.1 <localhost[127.0.0.1]>: Client host rejected: not here. For help, ask mail.a.test')
    assert ask(server, service='other')[0] == 250
    assert ask(server, service='other', helo='no.test')[0] == 554


def test_sender_addresses_of_users(hosts):
    server = hosts('mail.a.test', f'''smtpd_sender_login_maps = inline:{{{ANN}={ANN}, team@a.test={ANN}}}
smtpd_sender_restrictions = reject_sender_login_mismatch
smtpd_sasl_auth_enable = yes
''', accounts=[ANN, BOB])
    assert ask(server, sender=ANN) == (553, f'553 5.7.1 <{ANN}>: Sender address rejected: not logged in')
    s = server.smtp('submission', BOB)
    s.mail(ANN)
    assert s.rcpt('x@far.test') == (553, f'5.7.1 <{ANN}>: Sender address rejected: not owned by user {BOB}'.encode())
    s.rset()
    s.close()
    s = server.smtp('submission', ANN)
    s.mail('team@a.test')
    assert s.rcpt(BOB)[0] == 250
    s.close()


def test_postgrey(hosts, folder):
    """Debian's postgrey, over its Unix socket, as its own documents say."""
    server = hosts('mail.a.test', f'queue_directory = {folder}\nsmtpd_recipient_restrictions = check_policy_service unix:postgrey.socket\n', accounts=[ANN], start=False)
    os.makedirs(folder + '/greylist', exist_ok=True)
    p = subprocess.Popen(['/usr/sbin/postgrey', f'--unix={folder}/postgrey.socket', f'--dbdir={folder}/greylist', '--delay=2', '--auto-whitelist-clients=0', '--user=root', '--group=root'],
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: os.path.exists(folder + '/postgrey.socket'), 20, 'postgrey')
        os.chmod(folder + '/postgrey.socket', 0o666)
        server.start()
        assert ask(server)[1].startswith(f'450 4.2.0 <{ANN}>: Recipient address rejected: Greylisted')
        wait_until(lambda: ask(server)[0] == 250, 15, server.log, every=1)
    finally:
        end_process(p)  # it does not always heed the first signal


def test_s25r(hosts, dns):
    names = dns('''4.0.0.127.in-addr.arpa PTR p1234567.dsl.isp.test.
p1234567.dsl.isp.test A 127.0.0.4
5.0.0.127.in-addr.arpa PTR mail.company.test.
mail.company.test A 127.0.0.5
''')
    server = hosts('mail.a.test', f'smtpd_client_restrictions = check_reverse_client_hostname_access regexp:{TOP}/packaging/tables/s25r\n', accounts=[ANN], dns=names)

    def from_(address):
        s = smtplib.SMTP()
        s.source_address = (address, 0)
        s.connect(server.address, server.ports['smtp'])
        s.helo('x')
        s.mail('x@far.test')
        return s.rcpt(ANN)
    assert from_('127.0.0.4')[0] == 450 and b'S25R check, be patient' in from_('127.0.0.6')[1]
    assert from_('127.0.0.5')[0] == 250


def test_client_certificates(hosts, folder):
    crt, key = make_certificate(folder, 'client', 'client.test')
    digest = subprocess.run(['openssl', 'x509', '-in', crt, '-noout', '-fingerprint', '-sha256'], capture_output=True, text=True).stdout.split('=')[1].strip()
    sink = Sink()
    server = hosts('mail.a.test', f'''relayhost = [127.0.0.1]:{sink.port}
smtp_tls_security_level = none
smtpd_tls_security_level = may
smtpd_tls_ask_ccert = yes
smtpd_tls_fingerprint_digest = sha256
relay_clientcerts = inline:{{{{{digest}=client}}}}
smtpd_relay_restrictions = permit_tls_clientcerts, reject_unauth_destination
smtpd_client_restrictions = check_ccert_access inline:{{{{{digest}=WARN seen}}}}
''', accounts=[ANN], networks='10.255.255.0/24')
    for cert, code in ((None, 554), (crt, 250)):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if cert:
            context.load_cert_chain(crt, key)
        s = smtplib.SMTP(server.address, server.ports['smtp'], timeout=30)
        s.starttls(context=context)
        s.mail('x@far.test')
        assert s.rcpt('y@else.test')[0] == code, (cert, server.log())
        s.quit()
    server.wait_log('warn: RCPT from localhost.*: seen')


def test_refusals_behind_the_recipients_name_him(hosts):
    """As Postfix's log does: the queue id, and to= where there is one recipient."""
    server = hosts(main='smtpd_end_of_data_restrictions = check_helo_access inline:{end.test=REJECT}\nsmtpd_data_restrictions = check_helo_access inline:{data.test=REJECT}\n'
                   'smtpd_log_access_permit_actions = static:all\nsmtpd_sender_restrictions = check_sender_access inline:{gone@far.test=DISCARD}\n', accounts=[ANN])
    for helo in ('end.test', 'data.test'):
        with server.dialogue() as d:
            d.say(f'EHLO {helo}')
            d.envelope('x@far.test', ANN)
            if d.say('DATA')[0] == 354:
                d.say(message('x@far.test', ANN, 'letter') + '.', 554)
    for where in ('DATA', 'END-OF-MESSAGE'):
        server.wait_log(rf': [0-9A-F]{{8,}}: reject: {where} from .*; from=<x@far\.test> to=<{ANN}> proto=ESMTP')
    ask(server, sender='gone@far.test')
    server.wait_log(r'permit: RCPT from .*: action=DISCARD for Sender address=gone@far\.test from inline:')
