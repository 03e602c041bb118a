# SPDX-License-Identifier: Apache-2.0
"""What happens to the text of a message at the door: header_checks and body_checks, rewriting of addresses in headers,
missing and unwanted fields."""
import os
import pytest
from around import *

TEXT = 'From: ann@example.test\r\nTo: bob@example.test\r\nSubject: {}\r\n\r\n{}\r\n'


def table(folder, name, text):
    with open(f'{folder}/{name}', 'w') as f:
        f.write(text)
    return f'regexp:{folder}/{name}'


@pytest.fixture
def server(hosts, folder):
    def make(main):
        return hosts(accounts=['ann@example.test', 'bob@example.test', 'cat@example.test'], main=main)
    return make


@pytest.mark.parametrize('action', ['', 'fix_quietly', 'add_header', 'reject'])
def test_non_empty_end_of_header_action(server, action):
    s = server(f'non_empty_end_of_header_action = {action}\n' if action else '')

    def say(text):
        with s.dialogue() as d:
            d.ehlo('me.test')
            d.envelope('ann@example.test', 'bob@example.test')
            d.say('DATA', 354)
            return d.say(text + '\r\n.')
    odd = say('From: ann@example.test\r\nSubject: odd\r\nno field at all\r\n\r\ntext')
    assert say('From here Sun Nov 22 04:31:39\r\nFrom: ann@example.test\r\nSubject: right\r\n\r\nno field at all')[0] == 250
    assert s.wait_message('bob@example.test', 'right')['MIME-Error'] is None
    if action == 'reject':
        assert odd == (550, '550 5.6.0 primary header was terminated with non-empty line')
        s.wait_log(r': reject: mime-error primary header was terminated with non-empty line: no field at all from localhost\[127')
        return
    m = s.wait_message('bob@example.test', 'odd')
    assert m['MIME-Error'] == ('message header was not terminated by empty line' if action == 'add_header' else None)
    assert m.get_payload() == 'no field at all\r\n\r\ntext\r\n'


@pytest.mark.core
def test_checks(server, folder):
    headers = table(folder, 'header', '''/^X-Originating-IP:/ IGNORE
/^User-Agent: *(.*)/ REPLACE X-Was: $1
/^Subject:.*lottery/ REJECT we do not play
/^Subject:.*plain/ REJECT
/^Subject:.*quiet/ DISCARD
/^Subject:.*other/ REDIRECT cat@example.test
/^Subject:.*copy/ BCC cat@example.test
/^Subject:.*note/ WARN look at this
/^Subject:.*before/ PREPEND X-Before: yes
''')
    body = table(folder, 'body', '/casino/ REJECT 5.7.9 no gambling\n/secret/ REPLACE ***\n/^ad:/ IGNORE\n')
    s = server(f'header_checks = {headers}\nbody_checks = {body}')

    def say(subject, text='text', more=''):
        with s.dialogue() as d:
            d.ehlo('me.test')
            d.envelope('ann@example.test', 'bob@example.test')
            d.say('DATA', 354)
            return d.say(more + TEXT.format(subject, text) + '.')
    assert say('you won the lottery') == (550, '550 5.7.1 we do not play')
    s.wait_log(r'/cleanup\[\d+\]: \w+: reject: header Subject: you won the lottery from localhost\[127.0.0.1\]; '
               r'from=<ann@example.test> to=<bob@example.test> proto=ESMTP helo=<me.test>: 5.7.1 we do not play\n')
    assert say('plain') == (550, '550 5.7.1 message content rejected')
    assert say('x', 'casino') == (550, '550 5.7.9 no gambling')
    s.wait_log(r'reject: body casino from localhost\[127.0.0.1\]; from=.*: 5.7.9 no gambling\n')
    assert say('quiet')[0] == 250
    assert say('other')[0] == 250
    assert say('copy')[0] == 250
    assert say('note')[0] == 250
    s.wait_log(r'warning: header Subject: note from localhost\[127.0.0.1\]; .*: look at this\n')
    assert say('before', 'a secret\r\nad: buy\r\nend', 'X-Originating-IP: [1.2.3.4]\r\nUser-Agent: mutt\r\n')[0] == 250
    s.wait_message('bob@example.test', 'before')
    wait_until(lambda: sorted(s.subjects('cat@example.test')) == ['copy', 'other'], 10, s.log)
    assert s.subjects('bob@example.test') == ['copy', 'note', 'before']
    got = s.messages('bob@example.test')[2]
    assert got['X-Originating-IP'] is None and got['User-Agent'] is None and got['X-Was'] == 'mutt' and got['X-Before'] == 'yes'
    assert got.get_payload() == '***\r\nend\r\n'


def test_hold(server, folder):
    s = server(f"header_checks = {table(folder, 'header', '/^Subject:/ HOLD wait')}")
    s.send('ann@example.test', 'bob@example.test', TEXT.format('held', 'x'))
    s.wait_log(r'hold: header Subject: held')
    assert s.messages('bob@example.test') == []


def test_headers_rewritten(server, folder):
    with open(f'{folder}/canonical', 'w') as f:
        f.write('ann@example.test Ann.Smith@example.test\n')
    s = server(f'myorigin = example.test\nmydomain = test\nappend_dot_mydomain = yes\ncanonical_maps = texthash:{folder}/canonical\n'
               'masquerade_domains = example.test\nmessage_drop_headers = bcc, x-drop\n'
               'undisclosed_recipients_header = To: undisclosed-recipients:;')
    s.send('ann@example.test', 'bob@example.test',
           'From: "Ann, the one" <ann@example.test> (not x@y)\r\nCc: bob, cat@host.example.test,\r\n\tgroup: joe@example;\r\n'
           'Bcc: x@y.test\r\nX-Drop: z\r\nReturn-Path: <kept@x>\r\n\r\ntext\r\n')
    got = s.wait_message('bob@example.test', lambda m: True)
    assert got['From'] == '"Ann, the one" <Ann.Smith@example.test> (not x@y)'
    assert got['Cc'] == 'bob@example.test, cat@example.test,\r\n\tgroup: joe@example.test;'
    assert got['Bcc'] is None and got['X-Drop'] is None and got['Date'] and got['Message-ID'] and got['To'] is None


def test_strangers_headers_stay(server, hosts):
    s = hosts(accounts=['bob@example.test'], networks='127.0.0.2/32',
              main='myorigin = example.test\nlocal_header_rewrite_clients = permit_mynetworks')
    s.send('x@y.test', 'bob@example.test', 'From: someone\r\n\r\ntext\r\n')
    got = s.wait_message('bob@example.test', lambda m: True)
    assert got['From'] == 'someone' and got['Date'] is None
    s2 = hosts(accounts=['bob@example.test'], networks='127.0.0.2/32', main='remote_header_rewrite_domain = domain.invalid\n'
               'local_header_rewrite_clients = permit_mynetworks\nalways_add_missing_headers = yes\n'
               'undisclosed_recipients_header = To: undisclosed-recipients:;')
    s2.send('x@y.test', 'bob@example.test', 'From: someone\r\n\r\ntext\r\n')
    got = s2.wait_message('bob@example.test', lambda m: True)
    assert got['From'] == 'someone@domain.invalid' and got['Date'] and got['To'] == 'undisclosed-recipients:;'


def test_checks_of_what_leaves(server, folder, sink):
    there = sink()
    headers = table(folder, 'out', '/^Received:.*me.test/ IGNORE\n/^X-Mailer:/ STRIP not theirs\n/^Mime-Version:/ REPLACE Mime-Version: 1.0\n'
                                   '/^X-No:/ REJECT\n')
    body = table(folder, 'outbody', '/internal/ REPLACE (left out)\n')
    s = server(f'relayhost = [127.0.0.1]:{there.port}\nsmtp_header_checks = {headers}\nsmtp_mime_header_checks = {headers}\nsmtp_body_checks = {body}')
    for size in (1, 40000):
        with s.dialogue() as d:
            d.ehlo('me.test')
            d.envelope('ann@example.test', f'x{size}@away.test')
            d.say('DATA', 354)
            d.say('X-Mailer: m\r\nMime-Version: 2\r\nX-No: no\r\n' + TEXT.format('out', 'an internal thing\r\n' + 'fill the line up\r\n' * size) + '.', 250)
        got = wait_until(lambda: next((x for x in there.messages if f'x{size}@away.test' in str(x)), None), 20, s.log)
        text = str(got)
        assert 'me.test' not in text.split('Subject')[0] and 'X-Mailer' not in text and 'Mime-Version: 1.0' in text, text[:1000]
        assert '(left out)' in text and 'internal' not in text
    s.wait_log(r'/smtp\[\d+\]: \w+: strip: header X-Mailer: m: not theirs\n')
    s.wait_log(r'/smtp\[\d+\]: warning: \w+: unsupported command in header_checks map: REJECT\n')


def test_content_filter_and_back(hosts, folder, sink):
    """All mail goes to a filter by SMTP, which hands it back at another port; there, nothing is done to it twice."""
    there, back = sink(), free_port()
    headers = table(folder, 'h', '/^Subject: (.*)/ REPLACE Subject: +$1\n')
    s = hosts(accounts=['ann@example.test', 'bob@example.test'], start=False,
              main=f'content_filter = smtp:[127.0.0.1]:{there.port}\nheader_checks = {headers}')
    s.configure(master=f'''{s.address}:{s.ports['smtp']} inet n - n - - smtpd
{s.address}:{s.ports['imaps']} inet n - n - - imapd -o imapd_tls_wrappermode=yes
127.0.0.1:{back} inet n - n - - smtpd
  -o content_filter=
  -o receive_override_options=no_unknown_recipient_checks,no_header_body_checks,no_milters,no_address_mappings
''')
    s.start()
    s.send('ann@example.test', 'bob@example.test', TEXT.format('one', 'x'))
    sender, to, text = wait_until(lambda: there.messages and there.messages[0], 20, s.log)
    assert s.messages('bob@example.test') == []
    import smtplib
    with smtplib.SMTP('127.0.0.1', back) as again:
        again.sendmail(sender, to, text)
    assert s.wait_message('bob@example.test', lambda _: True)['Subject'] == '+one'


def test_another_cleanup(hosts, folder):
    """docker-mailserver's submission goes through a cleanup service with header_checks of its own."""
    own = table(folder, 'own', '/^User-Agent:/ IGNORE\n')
    s = hosts(accounts=['ann@example.test', 'bob@example.test'], start=False)
    s.configure(master=f'''{s.address}:{s.ports['smtp']} inet n - n - - smtpd
{s.address}:{s.ports['submission']} inet n - n - - smtpd -o smtpd_sasl_auth_enable=yes
  -o cleanup_service_name=sender-cleanup
{s.address}:{s.ports['imaps']} inet n - n - - imapd -o imapd_tls_wrappermode=yes
cleanup unix n - - - 0 cleanup
sender-cleanup unix n - - - 0 cleanup
  -o syslog_name=postfix/sender-cleanup
  -o header_checks={own}
''')
    s.start()
    for service, user in (('smtp', None), ('submission', 'ann@example.test')):
        s.send('ann@example.test', 'bob@example.test', 'User-Agent: x\r\n' + TEXT.format(service, 'x'), service, user)
        assert (s.wait_message('bob@example.test', service)['User-Agent'] is None) == (service == 'submission')


@pytest.mark.root
def test_sendmail_goes_through_milters(hosts, folder):
    """non_smtpd_milters = $smtpd_milters: mail that a program here hands to sendmail(1) is shown to them, too."""
    import milter as m
    import subprocess
    spy = m.Milter(0, {'eom': [m.add('X-Seen', 'yes'), m.CONTINUE]})
    s = hosts(accounts=['ann@example.test', 'bob@example.test'],
              main=f'smtpd_milters = {spy.spec}\nnon_smtpd_milters = $smtpd_milters\nmyorigin = example.test')
    sendmail = os.path.join(os.path.dirname(HATO), 'sendmail')
    subprocess.run([sendmail, '-C', s.folder, '-f', 'ann@example.test', '-t'], input='To: bob@example.test\nSubject: by hand\n\nx\n',
                   text=True, check=True, timeout=60)
    got = s.wait_message('bob@example.test', 'by hand')
    assert got['X-Seen'] == 'yes'
    assert [k for k, _, _ in spy.events if k not in ('header', 'quit', 'abort')] == \
        ['offer', 'connect', 'helo', 'mail', 'rcpt', 'data', 'eoh', 'body', 'eom']
    assert spy.of('connect')[0][1].startswith(b'localhost\x004') and spy.of('connect')[0][1].endswith(b'127.0.0.1\0')
    spy.close()
