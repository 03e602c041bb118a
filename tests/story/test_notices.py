# SPDX-License-Identifier: Apache-2.0
"""notify_classes: the postmaster hears of sessions that went wrong, with a transcript, as from smtpd(8) and smtp(8)."""
import base64, re
import pytest
from around import *
import hato

SMTP = {'smtp': 'smtpd', 'imaps': 'imapd -o imapd_tls_wrappermode=yes'}
TOLD = 'mynetworks = 192.0.2.0/24\nmail_name = Postfix\nnotify_classes = policy, protocol, resource, software, data\nerror_notice_recipient = ann@example.test\n'


def notices(host):
    return [s for s in host.subjects('ann@example.test') if 'errors from' in s]


def text_of(mail):
    return mail.get_payload(decode=True).decode()


def test_policy_with_a_transcript(hosts):
    host = hosts(main=TOLD, accounts=('ann@example.test',), services=SMTP)
    with host.dialogue() as d:
        d.ehlo('client.test')
        d.say('AUTH PLAIN ' + base64.b64encode(b'\0ann@example.test\0hunter2').decode())
        d.say('MAIL FROM:<a@far.test>', 250)
        d.say('RCPT TO:<b@elsewhere.test>', 554)
        d.say('QUIT', 221)
    mail = host.wait_message('ann@example.test', 'errors from')
    assert re.fullmatch(r'Postfix SMTP server: errors from \S+\[127\.0\.0\.1\]', mail['Subject']), mail['Subject']
    assert mail['From'].startswith('Mail Delivery System <MAILER-DAEMON@') and mail['To'] == 'Postmaster <ann@example.test>'
    assert mail['Return-Path'].startswith('<double-bounce@') and mail['Auto-Submitted'] == 'auto-generated'
    text = text_of(mail).replace('\r\n', '\n')
    assert text.startswith('Transcript of session follows.\n\n Out: 220 '), text
    assert ' In:  EHLO client.test\n' in text and ' In:  RCPT TO:<b@elsewhere.test>\n' in text and ' Out: 554 5.7.1 ' in text
    assert 'aHVudGVyMg' not in text and base64.b64encode(b'\0ann@example.test\0hunter2').decode() not in text
    assert text.endswith('\nFor other details, see the local mail logfile\n') and 'aborted' not in text


def test_only_what_is_wanted_and_not_without_end(hosts):
    host = hosts(main=TOLD.replace('policy, protocol, ', 'protocol, ') + 'error_notice_hourly_limit = 2\n', accounts=('ann@example.test',),
                 services=SMTP)
    with host.dialogue() as d:  # policy is not among them
        d.ehlo()
        d.say('MAIL FROM:<a@far.test>', 250)
        d.say('RCPT TO:<b@elsewhere.test>', 554)
        d.say('QUIT', 221)
    for n in range(4):
        with host.dialogue() as d:
            d.ehlo()
            d.say('RCPT TO:<b@elsewhere.test>', 503)  # nobody says QUIT
    host.wait_log('postmaster notify: more than 2 within an hour')
    wait_until(lambda: len(notices(host)) == 2, 20)
    mail = host.wait_message('ann@example.test', 'errors from')
    assert 'Session aborted, reason: lost connection' in text_of(mail)
    host.wait_log(r'(?s)(more than 2 within an hour.*){2}')
    assert len(notices(host)) == 2


def test_unknown_recipients_are_bounces(hosts):
    host = hosts(main=TOLD.replace('policy', 'policy, bounce') + 'bounce_notice_recipient = bob@example.test\n',
                 accounts=('ann@example.test', 'bob@example.test'), services=SMTP)
    with host.dialogue() as d:
        d.ehlo()
        d.say('MAIL FROM:<a@far.test>', 250)
        d.say('RCPT TO:<nobody@example.test>', 550)
        d.say('QUIT', 221)
    assert 'nobody@example.test' in text_of(host.wait_message('bob@example.test', 'errors from'))
    assert not notices(host)


def test_server_that_does_not_speak_smtp(hosts, sink):
    there = sink(replies={'MAIL FROM:': '500 5.5.2 what do you mean'}, extensions=['8BITMIME'])
    host = hosts(main=TOLD + f'mynetworks = 127.0.0.0/8\ndefault_transport = smtp:[127.0.0.1]:{there.port}\nsmtp_tls_security_level = none\n',
                 accounts=('ann@example.test',), services=SMTP)
    host.send('ann@example.test', 'x@far.test', message('ann@example.test', 'x@far.test', 'letter', 'a secret text'))
    mail = host.wait_message('ann@example.test', 'errors from')
    assert mail['Subject'] == f'Postfix SMTP client: errors from 127.0.0.1[127.0.0.1]:{there.port}'
    text = text_of(mail).replace('\r\n', '\n')
    assert text.startswith(f'Unexpected response from 127.0.0.1[127.0.0.1]:{there.port}.\n\nTranscript of session follows.\n\n In:  220 '), text
    assert ' Out: MAIL FROM:<ann@example.test>' in text and ' In:  500 5.5.2 what do you mean\n' in text and 'secret text' not in text


def test_no_such_postmaster(hosts):
    """The notice is dropped and logged; nothing bounces for ever."""
    host = hosts(main=TOLD.replace('ann@', 'gone@'), accounts=('ann@example.test',), services=SMTP)
    with host.dialogue() as d:
        d.ehlo()
        d.say('MAIL FROM:<a@far.test>', 250)
        d.say('RCPT TO:<b@elsewhere.test>', 554)
        d.say('QUIT', 221)
    host.wait_log('postmaster notify: .*not sent')
    host.send('x@far.test', 'ann@example.test', message('x@far.test', 'ann@example.test', 'still alive'))
    host.wait_message('ann@example.test', 'still alive')
