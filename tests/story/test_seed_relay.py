# SPDX-License-Identifier: Apache-2.0
"""A relay on a rented server for people whose mailbox is elsewhere (S74–S99): only submission, only with TLS and a login, no
mailboxes, everything goes on. The lines of main.cf and the command for s-nail are those of the document."""
import json, re, smtplib, subprocess, time
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
