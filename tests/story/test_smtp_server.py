# SPDX-License-Identifier: Apache-2.0
"""What a stranger's server, or someone who pretends to be one, may do on port 25, and what a user may do on 587."""
import base64, concurrent.futures, re, smtplib, socket, ssl, time
import pytest
from around import *
from hato import running

pytestmark = pytest.mark.core
ANN, BOB, STRANGER = 'ann@example.test', 'bob@example.test', 'stranger@else.test'


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    """One instance for all the small cases; nobody is in mynetworks."""
    with running(tmp_path_factory.mktemp('smtp'), ANN, BOB,
                      main='message_size_limit = 200000\nrecipient_delimiter = +\nsmtpd_tls_received_header = yes', networks='10.255.255.0/24') as instance:
        yield instance


@pytest.fixture
def talk(server):
    with server.dialogue() as d:
        yield d


def test_the_250_means_it_is_in_the_mailbox(server, talk):
    talk.ehlo()
    talk.envelope(STRANGER, ANN)
    talk.say('DATA', 354)
    talk.raw(message(STRANGER, ANN, 'at once') + '.\r\n')
    code, text = talk.reply()
    assert 'at once' in server.subjects(ANN)
    queue_id = re.fullmatch(r'250 2\.0\.0 .*?queued as (\w+)', text).group(1)
    assert queue_id in server.log()
    stored = next(m for m in server.messages(ANN) if m['Subject'] == 'at once')
    assert stored['Return-Path'] == f'<{STRANGER}>'
    assert re.search(r'from client\.test .*\[127\.0\.0\.1\].*by mail\.example\.test', stored['Received'], re.S)
    assert queue_id in stored['Received']
    assert stored.get_payload() == 'hello\r\n'


def test_ehlo_says_what_we_can(talk):
    offered = {l[4:].split(' ')[0] for l in talk.ehlo().splitlines()[1:]}
    assert {'PIPELINING', 'SIZE', '8BITMIME', 'SMTPUTF8', 'ENHANCEDSTATUSCODES', 'DSN', 'CHUNKING', 'STARTTLS'} <= offered
    assert not {'AUTH', 'EXPN', 'BINARYMIME'} & offered


@pytest.mark.parametrize('line, code', [
    ('MAIL FROM:<a@b.test>', (250, 503)), ('RCPT TO:<ann@example.test>', 503), ('DATA', 503), ('BDAT 3 LAST\r\nabc', 503),
    ('VRFY ann', (502, 252)), ('EXPN list', (500, 502)), ('NOOP', 250), ('NOOP some words', 250), ('RSET', 250), ('HELP', 214), ('XYZZY', (500, 502)),
    ('HELO', 501), ('EHLO', 501), ('helo lower.test', 250), ('QUIT', 221), ('STARTTLS now', 501), ('AUTH PLAIN AGEAYg==', (502, 503, 530, 538)),
])
def test_single_commands(talk, line, code):
    got, text = talk.say(line)
    assert got in (code if isinstance(code, tuple) else (code,)), text


@pytest.mark.parametrize('line, code', [
    ('MAIL FROM:<>', 250), ('MAIL FROM:<a@b.test> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=x+3Dy', 250), ('mail from:<a@b.test>', 250),
    ('MAIL FROM:<"quoted local"@b.test>', 250), ('MAIL FROM:<a@[192.0.2.1]>', 250), ('MAIL FROM:<@relay.test:a@b.test>', 250),
    ('MAIL FROM:<a@b.test> SIZE=200001', 552), ('MAIL FROM:<a@b.test> SIZE=x', 501), ('MAIL FROM:<a@b.test> NOSUCH=1', (501, 555)),
    ('MAIL FROM:<a b@c.test>', (501, 553)), ('MAIL', 501), ('MAIL FROM:<a@b.test', 501), ('MAIL FROM:<ü@b.test> SMTPUTF8', 250),
])
def test_mail_from(talk, line, code):
    talk.ehlo()
    talk.say(line, code)


@pytest.mark.parametrize('to, code', [
    ('<ann@example.test>', 250), ('<ANN@EXAMPLE.test>', 250), ('<ann+lists@example.test>', 250), ('<Postmaster>', 250),
    ('<postmaster@example.test>', 250), ('<ann@example.test> NOTIFY=NEVER ORCPT=rfc822;ann@example.test', 250),
    ('<nobody@example.test>', 550), ('<someone@other.test>', (550, 554)), ('<"ann@example.test"@other.test>', (550, 554)),
    ('<ann%other.test@example.test>', (550, 554)), ('<someone@other.test@example.test>', (501, 550, 553, 554)),
    ('<@example.test:someone@other.test>', (501, 550, 553, 554)), ('<>', (501, 550, 553)), ('', 501),
    ('<ann@example.test> NOSUCH=1', (501, 555)),
])
def test_rcpt_to(talk, to, code):
    talk.ehlo()
    talk.say(f'MAIL FROM:<{STRANGER}>', 250)
    got, text = talk.say(f'RCPT TO:{to}', code)
    if got == 550 and 'nobody' in to:
        assert '5.1.1' in text
    if 'someone@other' in to and to.startswith('<someone@other.test>'):
        assert '5.7.1' in text


SMUGGLE = {
    'LF . LF': '\n.\n', 'LF . CRLF': '\n.\r\n', 'CRLF . LF': '\r\n.\n', 'CR . CR': '\r.\r', 'CRLF . CR': '\r\n.\r', 'CR . CRLF': '\r.\r\n',
    'LF . CR LF LF': '\n.\r\n\n', 'CRLF NUL . CRLF': '\r\n\0.\r\n', 'bare LF': 'x\ny', 'bare CR': 'x\ry', 'CR CRLF': 'x\r\r\ny',
    'CR CR LF . CR CR LF': '\r\r\n.\r\r\n',
}


@pytest.mark.parametrize('form', SMUGGLE, ids=[k.replace(' ', '_') for k in SMUGGLE])
def test_smuggling_is_refused(server, talk, form):
    before = len(server.messages(ANN))
    talk.ehlo()
    talk.envelope(STRANGER, ANN)
    talk.say('DATA', 354)
    talk.raw('Subject: outer\r\n\r\nbody' + SMUGGLE[form] + f'MAIL FROM:<admin@else.test>\r\nRCPT TO:<{ANN}>\r\nDATA\r\n'
             'Subject: smuggled\r\n\r\nx\r\n.\r\n')
    code, text = talk.reply()
    if form != 'CRLF NUL . CRLF' or code != 250:  # a NUL in the text alone is no line end
        assert code == 550 and '5.5.2' in text, text
        assert len(server.messages(ANN)) == before
        server.wait_log('5.5.2')
    if code != 0:
        assert talk.say('NOOP')[0] in (250, 0)  # one text, one reply
    assert 'smuggled' not in server.subjects(ANN)


def test_commands_end_in_crlf_too(talk):
    talk.raw('EHLO client.test\n')  # lenient or strict, but never two commands out of one line
    talk.raw('NOOP\r\n')
    talk.socket.settimeout(5 * SLOW)
    code = talk.reply()[0]
    assert code in (250, 421, 0) or code >= 500


def test_starttls_then_nothing_from_before(server, talk):
    talk.ehlo()
    talk.raw(f'STARTTLS\r\nMAIL FROM:<{STRANGER}>\r\n')  # command injection, CVE-2011-0411
    code, _ = talk.reply()
    if code == 220:
        try:
            talk.socket = NO_NAME.wrap_socket(talk.socket)
        except (ssl.SSLError, OSError):
            return
        talk.file = talk.socket.makefile('rb')
        talk.say('EHLO again.test', 250)
        talk.say(f'RCPT TO:<{ANN}>', 503)
    else:
        assert code in (0, 421) or code >= 500


def test_every_handshake_is_followed_by_the_greeting(server):
    """Also where its last message comes in while the server is still writing: clients at the same time, many times."""
    def greet_often():
        for _ in range(100):
            with NO_NAME.wrap_socket(socket.create_connection(('127.0.0.1', server.ports['smtps']), 10 * SLOW)) as s:
                assert s.recv(100).startswith(b'220 ')
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(greet_often) for _ in range(4)]:
            done.result()


def test_tls_versions_and_second_starttls(server, talk):
    talk.ehlo()
    talk.starttls()
    assert talk.socket.version() in ('TLSv1.2', 'TLSv1.3')
    assert 'STARTTLS' not in talk.ehlo()
    assert talk.say('STARTTLS')[0] in (502, 503, 554)
    talk.envelope(STRANGER, ANN)
    talk.say('DATA', 354)
    talk.raw(message(STRANGER, ANN, 'under TLS') + '.\r\n')
    assert talk.reply()[0] == 250
    stored = server.wait_message(ANN, 'under TLS')
    assert 'ESMTPS' in stored['Received'] and '(using TLSv1.' in stored['Received']


def test_pipelining(server, talk):
    talk.ehlo()
    talk.raw(f'MAIL FROM:<{STRANGER}>\r\nRCPT TO:<{ANN}>\r\nRCPT TO:<nobody@example.test>\r\nRCPT TO:<{BOB}>\r\nDATA\r\n')
    assert [talk.reply()[0] for _ in range(5)] == [250, 250, 550, 250, 354]
    talk.raw(message(STRANGER, ANN, 'piped') + f'.\r\nMAIL FROM:<{STRANGER}>\r\nRCPT TO:<{ANN}>\r\nRSET\r\nQUIT\r\n')
    assert [talk.reply()[0] for _ in range(5)] == [250, 250, 250, 250, 221]
    assert talk.closed()
    assert 'piped' in server.subjects(ANN) and 'piped' in server.subjects(BOB)


def test_one_byte_at_a_time(server, talk):
    talk.ehlo()
    for byte in f'MAIL FROM:<{STRANGER}>\r\nRCPT TO:<{ANN}>\r\nDATA\r\n':
        talk.raw(byte)
        time.sleep(0.002)
    assert [talk.reply()[0] for _ in range(3)] == [250, 250, 354]
    for byte in message(STRANGER, ANN, 'dripped', '..a\r\n.b\r\n') + '.\r\n':
        talk.raw(byte)
    assert talk.reply()[0] == 250
    assert server.wait_message(ANN, 'dripped').get_payload() == '.a\r\nb\r\n'


def test_bdat(server, talk):
    talk.ehlo()
    text = message(STRANGER, ANN, 'chunked', '.\r\n..\r\n').encode()
    talk.envelope(STRANGER, ANN)
    for cut in (text[:10], text[10:60]):
        talk.raw(b'BDAT %d\r\n' % len(cut) + cut)
        assert talk.reply()[0] == 250
    talk.say('DATA', 503)  # not both in one message
    talk.raw(b'BDAT %d\r\n' % len(text[60:]) + text[60:])
    assert talk.reply()[0] in (250, 503)
    talk.say('RSET', 250)
    talk.envelope(STRANGER, ANN)
    talk.raw(b'BDAT %d\r\n' % len(text) + text + b'BDAT 0 LAST\r\n')
    assert [talk.reply()[0], talk.reply()[0]] == [250, 250]
    assert server.wait_message(ANN, 'chunked').get_payload() == '.\r\n..\r\n'
    talk.say('MAIL FROM:<>', 250)
    talk.raw(b'BDAT 5 LAST\r\nabcde')  # no recipient: refused, and the chunk is not taken for a command
    assert talk.reply()[0] in (503, 554)
    talk.say('NOOP', 250)


def test_bdat_hostile_sizes(talk):
    talk.ehlo()
    talk.envelope(STRANGER, ANN)
    for size in ('99999999999999999999', '-1', 'x', ''):
        code, _ = talk.say(f'BDAT {size}')
        assert code == 0 or code >= 400
        if code in (0, 421):
            break


def test_too_large(server, talk):
    talk.ehlo()
    talk.envelope(STRANGER, ANN)
    talk.say('DATA', 354)
    talk.raw('Subject: too large\r\n\r\n' + ('x' * 98 + '\r\n') * 2100 + '.\r\n')
    code, text = talk.reply()
    assert code == 552 and '5.3.4' in text
    talk.say('NOOP', 250)
    assert 'too large' not in server.subjects(ANN)


def test_a_command_line_has_an_end(talk):
    talk.ehlo()
    talk.raw('NOOP ' + 'x' * 100000 + '\r\n')
    assert talk.reply()[0] in (500, 421, 0)


def test_loops_are_cut(server):
    loop = ''.join(f'Received: from a by b; Sat, 22 Nov 2025 04:31:{n % 60:02d} +0000\r\n' for n in range(120))
    with pytest.raises(smtplib.SMTPResponseException) as refused:
        server.send(STRANGER, ANN, loop + message(STRANGER, ANN, 'going round'))
    assert refused.value.smtp_code == 554 and b'5.4.' in refused.value.smtp_error


def test_header_of_any_kind(server):
    """Broken headers are stored as they are, not judged."""
    for text in ('no header at all\r\n', '\r\nonly a body\r\n', ': \r\n\r\nx\r\n', 'Subject: =?utf-8?Q?broken\r\n\r\nx\r\n', ''):
        server.send(STRANGER, ANN, text)


# users: submission


def test_no_password_in_the_clear(server):
    with server.dialogue('submission') as d:
        assert 'AUTH' not in d.ehlo()
        token = base64.b64encode(f'\0{ANN}\0secret'.encode()).decode()
        assert d.say(f'AUTH PLAIN {token}')[0] in (503, 530, 538)
        assert d.say(f'MAIL FROM:<{ANN}>')[0] == 530


@pytest.mark.parametrize('service', ['submission', 'smtps'])
@pytest.mark.parametrize('way', ['plain', 'plain later', 'login', 'login initial'])
def test_auth(server, service, way):
    s = server.smtp(service)
    if service == 'submission':
        s.starttls(context=NO_NAME)
    s.ehlo()
    assert {'PLAIN', 'LOGIN'} <= set(s.esmtp_features['auth'].split())
    code = lambda text: base64.b64encode(text.encode()).decode()
    token = code(f'\0{ANN}\0secret')
    steps = {'plain': [f'AUTH PLAIN {token}'], 'plain later': ['AUTH PLAIN', token], 'login': ['AUTH LOGIN', code(ANN), code('secret')],
             'login initial': [f'AUTH LOGIN {code(ANN)}', code('secret')]}[way]
    codes = [s.docmd(line)[0] for line in steps]
    assert codes == [334] * (len(steps) - 1) + [235]
    assert s.docmd(steps[0])[0] == 503  # once is enough
    assert s.docmd(f'MAIL FROM:<{ANN}>')[0] == 250
    assert s.docmd('RCPT TO:<someone@other.test>')[0] == 250
    s.quit()


def test_wrong_passwords(server):
    with pytest.raises(smtplib.SMTPAuthenticationError) as e:
        server.smtp('submission', ANN, 'wrong')
    assert e.value.smtp_code == 535 and b'5.7.8' in e.value.smtp_error
    with pytest.raises(smtplib.SMTPAuthenticationError):
        server.smtp('submission', 'nobody@example.test', 'secret')
    s = server.smtp('smtps')
    s.ehlo()
    assert s.docmd('AUTH LOGIN')[0] == 334 and s.docmd('*')[0] == 501
    assert s.docmd('AUTH PLAIN', '!!!')[0] in (501, 535)
    assert s.docmd('AUTH NOSUCH')[0] in (504, 535)
    s.docmd(f'MAIL FROM:<{ANN}>')
    assert s.docmd('RCPT TO:<someone@other.test>')[0] >= 500  # still nobody
    s.quit()
    server.wait_log('(?i)authentication failed')


def test_submission_completes_the_header(server):
    server.send(ANN, BOB, f'From: {ANN}\r\nTo: {BOB}\r\nSubject: bare\r\n\r\nx\r\n', 'submission', ANN)
    stored = server.wait_message(BOB, 'bare')
    assert stored['Date'] and re.fullmatch(r'<.+@.+>', stored['Message-ID'])
    assert 'ESMTPSA' in stored['Received']
    with smtplib.SMTP(server.address, server.ports['smtp'], source_address=(own_address(), 0)) as s:  # no address of ours
        s.sendmail(STRANGER, [BOB], 'Subject: as it came\r\n\r\nx\r\n')
    assert server.wait_message(BOB, 'as it came')['Message-ID'] is None


# limits of one client


def test_limits(hosts):
    server = hosts(accounts=[ANN, BOB], networks='10.255.255.0/24', main='recipient_delimiter = +\ndisable_vrfy_command = yes\nsmtpd_recipient_limit = 3\nsmtpd_hard_error_limit = 4\nsmtpd_timeout = 2s\n'
                   'smtpd_client_connection_count_limit = 5\nsmtpd_error_sleep_time = 0')
    with server.dialogue() as d:
        assert 'VRFY' not in d.ehlo()
        d.say('VRFY ann', 502)
        d.say(f'MAIL FROM:<{STRANGER}>', 250)
        assert [d.say(f'RCPT TO:<ann+{n}@example.test>')[0] for n in range(5)] == [250] * 3 + [452] * 2
    with server.dialogue() as d:
        d.ehlo()
        codes = [d.say('XYZZY')[0] for _ in range(8)]
        assert codes[0] in (500, 502) and (421 in codes or 0 in codes), codes
    with server.dialogue() as d:
        started = time.monotonic()
        assert d.reply()[0] in (421, 0)
        assert time.monotonic() - started < 10 * SLOW
    crowd = []
    for _ in range(5):
        crowd.append(server.dialogue())
        assert crowd[-1].banner[0] == 220
    with server.dialogue() as d:
        assert d.banner[0] in (421, 0)
    for d in crowd:
        d.close()
    wait_until(lambda: server.dialogue().banner[0] == 220, 10, 'room after the crowd has gone')
