# SPDX-License-Identifier: Apache-2.0
"""What smtp(8) can be told beside TLS: how to log in (Dovecot's SASL behind Debian's Postfix), whom to ask in DNS, what to tell filters,
how fast to go and what to say of it."""
import os, re, subprocess, time
import pytest
from around import *

pytestmark = pytest.mark.root
ANN, BOB = 'ann@a.test', 'bob@b.test'
HASTE = 'minimal_backoff_time = 1s\nmaximal_backoff_time = 2s\nqueue_run_delay = 1s\nsmtp_connect_timeout = 5s\nsmtp_tls_loglevel = 1\n'


class Sasl:
    """Dovecot as nothing but a judge of passwords."""
    def __init__(self, folder, mechanisms):
        needs_dovecot_2_3()
        self.folder, self.socket = folder, f'{folder}/auth'
        os.makedirs(folder, exist_ok=True)
        above = folder
        while above != '/':
            os.chmod(above, os.stat(above).st_mode | 0o011)
            above = os.path.dirname(above)
        with open(f'{folder}/users', 'w') as f:
            f.write('ann:{PLAIN}s3 cr=et,:::::\n')
        os.chmod(f'{folder}/users', 0o644)
        with open(f'{folder}/dovecot.conf', 'w') as f:
            f.write(f'base_dir = {folder}/run\nstate_dir = {folder}/state\nlog_path = {folder}/log\nprotocols =\nssl = no\ndisable_plaintext_auth = no\n'
                    f'auth_mechanisms = {mechanisms}\npassdb {{\n driver = passwd-file\n args = username_format=%n {folder}/users\n}}\n'
                    f'userdb {{\n driver = static\n args = uid=65534 gid=65534 home=/nowhere\n}}\n'
                    f'service auth {{\n unix_listener {self.socket} {{\n  mode = 0666\n }}\n}}\n'
                    f'service stats {{\n unix_listener stats-writer {{\n  mode = 0666\n }}\n}}\n')
        self.process = subprocess.Popen(['dovecot', '-F', '-c', f'{folder}/dovecot.conf'], stdin=subprocess.DEVNULL,
                                        stdout=open(f'{folder}/out', 'ab'), stderr=subprocess.STDOUT)
        wait_until(lambda: os.path.exists(self.socket), 20, lambda: 'dovecot: ' + open(f'{folder}/out').read())

    def main(self):
        return (f'smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {self.socket}\nsmtpd_sasl_security_options = noanonymous\n'
                'smtpd_relay_restrictions = permit_sasl_authenticated, reject\nsmtpd_tls_auth_only = no\n')

    def stop(self):
        end_process(self.process)


@pytest.fixture
def sasl(folder):
    made = []

    def make(mechanisms):
        made.append(Sasl(f'{folder}/sasl{len(made)}', mechanisms))
        return made[-1]
    yield make
    for one in made:
        one.stop()


@pytest.fixture
def far(postfix):
    def make(main='', **more):
        return postfix('b.test', users=['bob'], address=own_address(), main=main, **more)
    return make


def near(hosts, main, **more):
    return hosts('mail.a.test', HASTE + main, accounts=[ANN], **more)


def again(a, main):
    a.stop()
    a.configure(HASTE + main)
    a.start()


def send(a, subject='letter', to=BOB, **headers):
    a.send(ANN, to, message(ANN, to, subject, **headers), 'submission', ANN)


def arrived(b, subject='letter'):
    wait_until(lambda: subject in b.subjects('bob'), 20, lambda: f'{subject} in Postfix, whose log ends:\n{b.log()[-1500:]}')
    return next(m for m in b.messages('bob') if m['Subject'] == subject)


def login(b, more='', password='s3 cr=et,'):
    return (f'relayhost = [{b.address}]\nsmtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = inline:{{{{[{b.address}] = ann|{password}}}}}\n'
            f'smtp_sasl_password_result_delimiter = |\n{more}')


OPEN = 'smtp_sasl_security_options = noanonymous\n'


@pytest.mark.parametrize('offered, used', [('plain login cram-md5 scram-sha-1 scram-sha-256', 'SCRAM-SHA-256'), ('login scram-sha-1 cram-md5', 'SCRAM-SHA-1'),
                                           ('plain cram-md5 login', 'CRAM-MD5'), ('login plain', 'PLAIN'), ('login', 'LOGIN')])
def test_best_mechanism(hosts, far, sasl, offered, used):
    b = far(sasl(offered).main())
    a = near(hosts, login(b, OPEN))
    send(a)
    arrived(b)
    assert f'sasl_method={used}, sasl_username=ann' in b.log()


def test_what_may_be_used(hosts, far, sasl):
    """smtp_sasl_mechanism_filter and the security options, with and without TLS."""
    b = far(sasl('plain login cram-md5 scram-sha-1 scram-sha-256').main())
    cases = [('smtp_sasl_mechanism_filter = !scram-sha-256, static:rest\n' + OPEN, 'SCRAM-SHA-1'),
             ('smtp_sasl_mechanism_filter = login, plain\n' + OPEN, 'PLAIN'),
             ('smtp_tls_security_level = none\nsmtp_sasl_mechanism_filter = cram-md5 plain login\n', 'CRAM-MD5'),  # noplaintext is the default
             ('smtp_tls_security_level = encrypt\nsmtp_sasl_tls_security_options = noanonymous\nsmtp_sasl_mechanism_filter = login\n', 'LOGIN'),
             ('smtp_sasl_security_options = noactive\nsmtp_tls_security_level = none\nsmtp_sasl_mechanism_filter = !scram-sha-256 static:x\n', 'SCRAM-SHA-1')]
    a = near(hosts, login(b))
    for n, (more, used) in enumerate(cases):
        again(a, login(b, more))
        at = len(b.log())
        send(a, f'letter {n}')
        arrived(b, f'letter {n}')
        assert f'sasl_method={used}, ' in b.log()[at:], more
    again(a, login(b, 'smtp_tls_security_level = none\nsmtp_sasl_tls_security_options = noanonymous\nsmtp_sasl_mechanism_filter = plain login\n'))
    send(a, 'kept')
    a.wait_log(r'status=deferred \(SASL authentication failed; cannot authenticate to server .*not encrypted')
    again(a, login(b, 'smtp_sasl_security_options = nodictionary\nsmtp_tls_security_level = none\n'))
    a.wait_log(r'status=deferred \(SASL authentication failed; cannot authenticate to server .*no mechanism available')
    assert 'kept' not in b.subjects('bob')


@pytest.mark.parametrize('mechanism', ['scram-sha-256', 'cram-md5', 'plain'])
def test_wrong_password(hosts, far, sasl, mechanism):
    b = far(sasl(mechanism).main())
    a = near(hosts, login(b, OPEN, password='wrong'))
    send(a)
    a.wait_log(r'dsn=4\.7\.8, status=deferred \(SASL authentication failed; server .* said: 535 5\.7\.8')
    again(a, login(b, OPEN + 'smtp_sasl_auth_soft_bounce = no\n', password='wrong'))
    a.wait_log(r'dsn=5\.7\.8, status=bounced \(SASL authentication failed; server .* said: 535 5\.7\.8')


def test_refused_log_in_is_remembered(hosts, far, sasl):
    """smtp_sasl_auth_cache_name: a password that was refused is not tried again and again, another one is."""
    b = far(sasl('plain').main())
    cache = OPEN + 'smtp_sasl_auth_cache_name = proxy:btree:/nowhere/sasl_auth_cache\n'
    a = near(hosts, login(b, cache, password='wrong'))
    send(a)
    a.wait_log(r'status=deferred \(SASL \[CACHED\] authentication failed; server .* said: 535 5\.7\.8')
    assert len(re.findall('SASL PLAIN authentication failed', b.log())) == 1
    a.configure(HASTE + login(b, cache))
    a.hato('reload')
    arrived(b)


def test_keywords_of_one_server(hosts, far, sink):
    """smtp_discard_ehlo_keyword_address_maps, instead of the list for all; and a bind address that is not ours."""
    one, other = sink(address=own_address(), port=25), sink(address=own_address(), port=25)
    a = near(hosts, f'transport_maps = inline:{{ {{one.test=smtp:[{one.address}]}}, {{other.test=smtp:[{other.address}]}} }}\nsmtp_bind_address = 192.0.2.1\n'
                    f'smtp_discard_ehlo_keywords = 8bitmime\nsmtp_discard_ehlo_keyword_address_maps = inline:{{ {{{one.address}=size, enhancedstatuscodes}} }}\n')
    for to, end in (('x@one.test', one), ('x@other.test', other)):
        send(a, 'letter', to)
        wait_until(lambda: end.messages, 10, 'the letter')
    mails = [next(c for c in end.commands if c.startswith('MAIL')) for end in (one, other)]
    assert 'SIZE=' not in mails[0] and 'SIZE=' in mails[1], mails
    again(a, f'relayhost = [{one.address}]\nsmtp_bind_address = 192.0.2.1\nsmtp_bind_address_enforce = yes\n')
    send(a, 'kept')
    a.wait_log(r'status=deferred \(connect to .*Cannot assign requested address')


def test_xforward(hosts, far):
    """A filter behind us logs the stranger, not us."""
    b = far('smtpd_authorized_xforward_hosts = 127.0.0.0/8\n')
    a = near(hosts, f'relayhost = [{b.address}]\nsmtp_send_xforward_command = yes\nrelay_domains = b.test\n')
    with a.smtp() as s:
        s.ehlo('stranger.test')
        s.sendmail('eve@c.test', [BOB], message('eve@c.test', BOB, 'forwarded'))
    arrived(b, 'forwarded')
    client = re.search(r'client=(\S+?), orig_queue_id=(\w+), orig_client=(\S+)', b.log())
    assert client and client[3] == 'localhost[127.0.0.1]' and client[2] in a.log(), b.log()[-1500:]


@pytest.fixture
def named(far, dns):
    """Postfix as mx.b.test, and a zone that knows it."""
    b = far('virtual_mailbox_domains = b.test c.test\nvirtual_mailbox_maps = regexp:{{/^bob@/ bob/}}\n')
    dead = own_address()
    return b, dns(f'a.test MX 10 mail.a.test.\nmail.a.test A 127.0.0.1\nb.test MX 10 mx.b.test.\nmx.b.test A {b.address}\n'
                  f'_submission._tcp.srv.test SRV 0 0 25 mx.b.test.\nnothing.test A {dead}\nc.test MX 5 dead.c.test.\nc.test MX 10 mx.b.test.\ndead.c.test A {dead}\n'), dead


def test_srv(hosts, named):
    b, zone, _ = named
    a = near(hosts, 'relayhost = srv.test:submission\nuse_srv_lookup = submission\n', dns=zone)
    send(a)
    arrived(b)
    a.wait_log(r'relay=mx\.b\.test\[[0-9.]+\]:25, .*status=sent')
    again(a, 'relayhost = nothing.test:submission\nuse_srv_lookup = submission\n')
    send(a, 'lost')
    a.wait_log(r'dsn=5\.4\.4, status=bounced \(Host or domain name not found\. Name service error for name=_submission\._tcp\.nothing\.test type=SRV')
    again(a, 'relayhost = nothing.test:submission\nuse_srv_lookup = submission\nallow_srv_lookup_fallback = yes\n')
    send(a, 'waits')
    a.wait_log(r'connect to nothing\.test\[[0-9.]+\]:587: Connection refused')


def test_dns_reply_filter(hosts, named):
    b, zone, dead = named
    a = near(hosts, 'smtp_dns_reply_filter = pcre:{{/^\\S+\\s+\\d+\\s+IN\\s+MX\\s+5\\s/ IGNORE}}\n', dns=zone)
    send(a, 'past the dead', 'bob@c.test')
    arrived(b, 'past the dead')
    assert dead not in a.log()
    again(a, f'smtp_dns_reply_filter = pcre:{{{{/ IN A {b.address}$$/ IGNORE}}}}\n')
    send(a, 'kept')
    a.wait_log(r'dsn=4\.7\.0, status=deferred \(Error looking up name=mx\.b\.test type=A: DNS reply filter drops all results')


def test_transport_rate_delay(hosts, sink):
    """One message a second for the whole transport, whatever the destinations."""
    ends = [sink(address=own_address(), port=25) for _ in range(3)]
    a = near(hosts, 'smtp_transport_rate_delay = 1s\ntransport_maps = inline:{' +
             ', '.join(f'{{d{n}.test = smtp:[{s.address}]}}' for n, s in enumerate(ends)) + '}\n')
    started = time.monotonic()
    for n in range(3):
        send(a, f'letter {n}', f'bob@d{n}.test')
    wait_until(lambda: all(s.messages for s in ends) and len(re.findall('status=sent', a.log())) == 3, 15, 'all three')
    assert time.monotonic() - started >= 1.9


def test_status_filters(hosts, sink):
    """What is told of a delivery is rewritten; what it was stays."""
    end = sink(replies={'RCPT TO:<gone@': '550 5.1.1 unknown', 'RCPT TO:<later@': '450 4.2.0 later'})
    a = near(hosts, f'relayhost = [127.0.0.1]:{end.port}\ndefault_delivery_status_filter = regexp:{{{{/^5.1.1 .*unknown/ 4.9.9 be patient}}, '
                    '{/^4\\.2\\.0 .*later/ 2.0.0 nonsense}, {/^2.0.0 (.*taken.*)$$/ 2.7.7 done: $$1}}\nvirtual_mailbox_domains = v.test\n'
                    'virtual_mailbox_maps = inline:{x@v.test=x}\nvirtual_mailbox_base = /nowhere\nvirtual_uid_maps = static:65534\nvirtual_gid_maps = static:65534\n'
                    'virtual_delivery_status_filter = regexp:{{/^(\\S+) .*nowhere/ 5.6.6 no room for $$1}}\n')
    for to in ('gone@b.test', 'later@b.test', BOB, 'x@v.test'):
        send(a, 'letter', to)
    a.wait_log(r'to=<gone@b\.test>.*dsn=4\.9\.9, status=deferred \(be patient\)')
    a.wait_log(r'delivery status filter: "2\.0\.0 nonsense" is no status of the same kind')
    a.wait_log(r'to=<later@b\.test>.*dsn=4\.2\.0, status=deferred \(host')
    a.wait_log(r'to=<bob@b\.test>.*dsn=2\.7\.7, status=sent \(done: 250 2\.0\.0 taken')
    a.wait_log(r'to=<x@v\.test>.*dsn=5\.6\.6, status=bounced \(no room for')
