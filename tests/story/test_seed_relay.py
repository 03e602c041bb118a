# SPDX-License-Identifier: Apache-2.0
"""A relay on a rented server for people whose mailbox is elsewhere (S74–S99): only submission, only with TLS and a login, no
mailboxes, everything goes on. The lines of main.cf and the command for s-nail are those of the document."""
import json, os, re, smtplib, ssl, subprocess, time
import pytest
from around import *
import hato

pytestmark = pytest.mark.root
RELAY = '''mydestination =
local_transport = error:local mail delivery is disabled
smtpd_tls_security_level = encrypt
smtpd_tls_received_header = yes
smtp_address_preference = ipv4
'''
SERVICES = {'submission': f'smtpd {hato.AUTH} -o smtpd_relay_restrictions=permit_sasl_authenticated,reject'}


@pytest.fixture
def relay(hosts, dns, sink):
    far = sink(address=own_address(), port=25)
    names = dns(f'far.test MX 10 mx.far.test.\nmx.far.test A {far.address}\n')
    server = hosts('relay.own.test', RELAY, dns=names, services=SERVICES, accounts=['user1@own.test'])
    return server, far


def test_the_snail_of_the_document(relay):
    server, far = relay
    text = 'To: someone@far.test\nFrom: user1@own.test\nSubject: Test email\n\nThis is a test email message (TLS + SMTPAUTH)\n'
    done = subprocess.run(['s-nail', '-v', '-S', 'v15-compat', '-S', 'smtp-use-starttls', '-S', 'tls-verify=ignore', '-S',
                           f'mta=smtp://user1%40own.test:secret@127.0.0.1:{server.ports["submission"]}', '-S', 'smtp-auth=login',
                           '-S', 'from=user1@own.test', '-t'], input=text, capture_output=True, text=True, timeout=60 * SLOW,
                          env={**server.env, 'MAILRC': '/dev/null', 'HOME': server.folder})
    assert done.returncode == 0, done.stderr + server.log()
    wait_until(lambda: far.messages, 20)
    sender, to, text = far.messages[0]
    text = text if isinstance(text, str) else text.decode()
    assert (sender, to) == ('user1@own.test', ['someone@far.test'])
    assert re.search(r'\(using TLSv1\.3 with cipher \S+ \(\d+/\d+ bits\)', text)
    assert re.search(r'\(No client certificate requested\)|\(Client did not present a certificate\)', text)
    assert re.search(r'^Date: ', text, re.M) and re.search(r'^Message-ID: ', text, re.M | re.I)


def test_nothing_without_tls_and_nothing_without_login(relay):
    server, far = relay
    with server.dialogue('submission') as talk:
        assert 'AUTH' not in talk.ehlo()
        assert talk.say('AUTH PLAIN AGEAYg==')[0] in (503, 530, 538)
        assert talk.say('MAIL FROM:<x@far.test>') == (530, '530 5.7.0 Must issue a STARTTLS command first')
        talk.starttls()
        assert re.search(r'AUTH.* PLAIN', talk.ehlo())
        talk.say('MAIL FROM:<x@far.test>', 250)
        code, _ = talk.say('RCPT TO:<someone@far.test>')
        assert code in (550, 554)
    assert not far.messages


def test_mail_for_ourselves_is_returned_with_the_words_of_main_cf(relay):
    server, far = relay
    with server.smtp('submission', 'user1@own.test') as s:
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            s.sendmail('user1@own.test', ['root@[127.0.0.1]'], 'Subject: local\n\nx\n')
    assert b'local mail delivery is disabled' in refused.value.recipients['root@[127.0.0.1]'][1], refused.value
    assert not far.messages


def test_it_stops_within_ten_seconds_and_keeps_the_queue(relay):
    server, far = relay
    far.stop()
    server.send('user1@own.test', 'someone@far.test', message('user1@own.test', 'someone@far.test', 'later'), 'submission', 'user1@own.test')
    begin = time.time()
    server.stop()
    assert time.time() - begin < 10 * SLOW
    far.start()
    server.start()
    server.hato('queue', 'flush')
    wait_until(lambda: far.messages, 20)


def test_signed_with_the_key_of_the_senders_domain(relay):
    """What the receiving side needs: a signature of own.test that verifies with the records that `hato dkim show` prints."""
    dkim = pytest.importorskip('dkim')
    server, far = relay
    shown = lambda: json.loads(server.hato('dkim', 'show', 'own.test', '--json', check=False).stdout or '[]')
    wait_until(lambda: len(shown()) == 2, 60, 'keys')
    records = {k['name']: k['value'].encode() for k in shown()}
    server.send('user1@own.test', 'someone@far.test', 'From: user1@own.test\r\nSubject: signed\r\n\r\nx\r\n', 'submission', 'user1@own.test')
    wait_until(lambda: far.messages, 20, server.log)
    text = far.messages[0][2]
    d = dkim.DKIM(text if isinstance(text, bytes) else text.encode('latin-1'))
    find = lambda name, timeout=5: records.get(name.decode().rstrip('.').lower())
    assert [d.verify(idx=i, dnsfunc=find) for i in range(2)] == [True, True] and b'd=own.test' in d.headers[0][1]


@pytest.mark.parametrize('zone, near', [('Asia/Toyo', 'Asia/Tokyo'), ('Europe/Berln', 'Europe/Berlin'), ('Asia/Tokyo', None), ('JST-9', None), ('<+09>-9', None), ('nothing at all', '')])
def test_a_time_zone_that_nobody_knows(hosts, zone, near):
    """S83: said with the nearest one, and UTC is what counts."""
    server = hosts('relay.own.test', start=False)
    server.env['TZ'] = zone
    for command in ('check', 'start'):
        done = server.hato(command)
        assert ('no such time zone' in done.stderr) == (near is not None), done.stderr
        if near:
            assert f'warning: TZ={zone}: no such time zone (did you mean {near}?): times are told in UTC' in done.stderr
    hour = int(re.search(r'^\w+ +\d+ (\d\d):', server.log(), re.M)[1])
    assert (hour - time.gmtime().tm_hour) % 24 in ((9, 8) if near is None else (0, 23))


def test_quiet(hosts):
    """-q before the command or behind it."""
    server = hosts('relay.own.test', start=False)
    for words in (('-q', 'start'), ('-q', 'reload'), ('-q', 'check'), ('-q', 'stop'), ('start', '-q'), ('reload', '-q'), ('stop', '-q'),
                  ('-q', 'domain', 'add', 'a.test'), ('domain', 'add', 'b.test', '-q')):
        assert server.hato(*words).stdout == '', words
    assert server.hato('-q', 'version', check=False).returncode == 64


def test_a_key_that_only_root_may_read(hosts, dns, sink, folder):
    """S77: KeyTable's file belongs to root alone (chmod 600); it signs, though no process that signs is root."""
    place = f'{folder}/etc/opendkim/keys/own.test'
    os.makedirs(place)
    subprocess.run([HATO, 'opendkim-genkey', '-b', '2048', '-D', place, '-d', 'own.test', '-s', '20261123', '-v'], check=True, capture_output=True)
    os.chown(f'{place}/20261123.private', 0, 0)
    os.chmod(f'{place}/20261123.private', 0o600)
    os.chmod(place, 0o700)
    open(f'{folder}/opendkim.conf', 'w').write(f'Domain own.test\nSelector 20261123\nKeyFile {place}/20261123.private\nSocket local:/run/opendkim/opendkim.sock\n')
    far = sink(address=own_address(), port=25)
    server = hosts('relay.own.test', RELAY + f'opendkim_config = {folder}/opendkim.conf\n', services=SERVICES, accounts=['user1@own.test'],
                   dns=dns(f'far.test MX 10 mx.far.test.\nmx.far.test A {far.address}\n'))
    with server.smtp('submission', 'user1@own.test') as s:
        s.sendmail('user1@own.test', 'joe@far.test', message('user1@own.test', 'joe@far.test', 'signed'))
    wait_until(lambda: far.messages, 20)
    text = far.messages[0][2]
    text = text if isinstance(text, str) else text.decode()
    assert re.search(r'^DKIM-Signature: .*?s=20261123;', text, re.M | re.S), text
    for role in ('edge', 'core', 'relay', 'vault'):
        for pid in server.pids(role):
            assert 'Uid:\t0\t' not in open(f'/proc/{pid}/status').read(), role


def test_both_families(hosts, folder):
    """S92, S93: listens at IPv4 and IPv6, sends by IPv6; mynetworks in both forms decides who may relay."""
    far_port, port = free_port('127.0.0.1'), free_port('127.0.0.1')
    far = hosts('far.test', 'inet_protocols = all\n', accounts=['joe@far.test'], start=False)
    far.configure(master=f'[::1]:{far_port} inet n - n - - smtpd\n127.0.0.1:{far.ports["imaps"]} inet n - n - - imapd -o imapd_tls_wrappermode=yes\n')
    far.start()
    server = hosts('relay.own.test', f'inet_protocols = all\nrelayhost = [::1]:{far_port}\n', start=False)
    master = f'[::1]:{port} inet n - n - - smtpd\n127.0.0.1:{port} inet n - n - - smtpd\n'
    server.configure(f'inet_protocols = all\nrelayhost = [::1]:{far_port}\nmynetworks = 127.0.0.0/8,[::1]/128\n', master=master)
    server.start()
    for address in ('::1', '127.0.0.1'):
        with smtplib.SMTP(address, port, timeout=20 * SLOW) as s:
            s.sendmail('ann@own.test', 'joe@far.test', message('ann@own.test', 'joe@far.test', f'by {address}'))
    wait_until(lambda: set(far.subjects('joe@far.test')) == {'by ::1', 'by 127.0.0.1'}, 20, server.log)
    server.wait_log(r'relay=\[?::1\]?\[::1\]:')
    server.configure(f'inet_protocols = all\nrelayhost = [::1]:{far_port}\nmynetworks = [fe80::]/10\n', master=master)
    server.hato('reload')
    for address in ('::1', '127.0.0.1'):
        with smtplib.SMTP(address, port, timeout=20 * SLOW) as s:
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                s.sendmail('ann@own.test', 'joe@far.test', 'x')


def test_certificates_of_certbot(hosts, folder):
    """S78, S79, S99: live/NAME's links into archive, one certificate for two names; a renewal moves the links."""
    live, archive = f'{folder}/letsencrypt/live/relay.own.test', f'{folder}/letsencrypt/archive/relay.own.test'
    os.makedirs(live)
    os.makedirs(archive)

    def issue(number, names='DNS:relay.own.test,DNS:mail.own.test'):
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '90', '-out',
                        f'{archive}/fullchain{number}.pem', '-keyout', f'{archive}/privkey{number}.pem', '-subj', '/CN=relay.own.test', '-addext',
                        f'subjectAltName={names}'], check=True, capture_output=True)
        os.chmod(f'{archive}/privkey{number}.pem', 0o600)
        for kind in ('privkey', 'fullchain'):
            os.symlink(f'../../archive/relay.own.test/{kind}{number}.pem', f'{live}/new')
            os.replace(f'{live}/new', f'{live}/{kind}.pem')
        return open(f'{archive}/fullchain{number}.pem').read()
    first = issue(1)
    server = hosts('relay.own.test', f'smtpd_tls_cert_file = {live}/fullchain.pem\nsmtpd_tls_key_file = {live}/privkey.pem\n')
    shown = lambda: ssl.get_server_certificate(('127.0.0.1', server.ports['smtps']))
    assert shown() == first and 'will complain' not in server.hato('check').stderr
    second = issue(2)
    wait_until(lambda: shown() == second, 60, 'the renewed certificate', every=0.5)
    server.wait_log(r'certificate reloaded: relay\.own\.test mail\.own\.test, expires ')
    issue(3, 'DNS:other.own.test')
    assert 'the certificate is for other.own.test, and not for myhostname = relay.own.test: mail programs will complain' in server.hato('check').stderr


@pytest.mark.parametrize('listed', [True, False])
def test_containers_relay_only_where_they_are_listed(hosts, dns, sink, listed):
    """S73: a container in 172.16/12; its mail is signed as ours."""
    far = sink(address=own_address(), port=25)
    names = dns(f'far.test MX 10 mx.far.test.\nmx.far.test A {far.address}\n')
    server = hosts('relay.own.test', 'smtpd_authorized_xclient_hosts = 127.0.0.1\n', dns=names, accounts=['ann@own.test'],
                   networks='127.0.0.0/8, 172.16.0.0/12' if listed else '127.0.0.0/8')
    wait_until(lambda: len(json.loads(server.hato('dkim', 'show', 'own.test', '--json', check=False).stdout or '[]')) == 2, 60, 'keys')
    with server.dialogue('smtp') as talk:
        talk.ehlo()
        talk.say('XCLIENT ADDR=172.18.0.3 NAME=[UNAVAILABLE]', 220)
        talk.ehlo()
        talk.say('MAIL FROM:<ann@own.test>', 250)
        code, said = talk.say('RCPT TO:<joe@far.test>')
        assert (code == 250) == listed and (listed or 'Relay access denied' in said)
        if listed:
            talk.say('DATA', 354)
            talk.say('From: ann@own.test\r\nSubject: from a container\r\n\r\nx\r\n.', 250)
    if listed:
        wait_until(lambda: far.messages, 20, server.log)
        assert 'd=own.test' in str(far.messages[0][2])


def test_names_of_the_hosts_file(hosts, sink):
    """S155: smtp_host_lookup = native asks the system, /etc/hosts too, while DNS says nothing."""
    far = sink()
    server = hosts('relay.own.test', f'relayhost = [localhost]:{far.port}\nsmtp_host_lookup = native\nsmtp_address_preference = ipv4\n')
    server.send('ann@own.test', 'joe@far.test', 'Subject: by hosts\r\n\r\nx\r\n')
    wait_until(lambda: far.messages, 20, server.log)
    server.wait_log(re.escape(f'relay=localhost[127.0.0.1]:{far.port}'))
