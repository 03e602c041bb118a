# SPDX-License-Identifier: Apache-2.0
"""Settings do what the manual says. No setting is parsed and ignored in silence."""
import glob, imaplib, json, os, re, smtplib, socket, ssl, subprocess, time
import pytest
from around import *
from hato import SERVICES, Dialogue

ANN = 'ann@example.test'
STRANGERS = 'smtpd_client_event_limit_exceptions =\n'
ENTRY = re.compile(r'^SETTING\((\w+), (\w+), (.*)\)$', re.M)


def source(pattern):
    return {p: open(p, encoding='utf-8').read() for p in glob.glob(f'{TOP}/src/{pattern}', recursive=True) if not re.search(r'\.(test|fuzz)\.c$', p)}


def test_every_setting_that_counts_is_looked_at():
    """ACTED: code asks for it; or code of src/conf makes something of it; or another such setting mentions it in its default."""
    entries = ENTRY.findall('\n'.join(open(f'{TOP}/src/conf/{name}', encoding='utf-8').read() for name in ('settings.def', 'settings_more.def')))
    assert len(entries) > 500
    code = '\n'.join(source('**/*.[ch]').values())
    # read once for all checks: words of check tables are no use by themselves
    tables = re.sub(r'word_lists\[\] = \{.*?\n\};', '', code, flags=re.S)
    used = set(re.findall(r'\bSET_(\w+)', tables))
    # what each transport has of its own: whoever asks for that asks for their defaults, and for those of the transports in the list
    own = [(ending, default) for name, ending, default in re.findall(r'\bT\((\w+), "(\w+)",[\s\\]*(\w+)\)', code) if re.search(rf'\bTRANSPORT_{name}\b', tables)]
    used |= {default for _, default in own}
    services = {service for service, _ in re.findall(r'\{ S\("(\w+)"\),\s*S\("(\w+)"\) \}', code.split('usual_transports[USUAL_TRANSPORTS] = {')[1].split(';')[0])}
    of_transports = {service + ending for service in services for ending, _ in own}
    acted = {name: rest for state, name, rest in entries if state == 'ACTED'}
    twins = {'lmtp_' + name[5:] for name in used if name.startswith('smtp_')} | set(re.findall(r'"(lmtp_\w+)"', code))  # relay_settings.c asks by name
    mentioned = {word for rest in acted.values() for word in re.findall(r'\$\{?(\w+)', rest)}
    for_texts = {'mail_version'}  # nothing but a value for other texts: its doc line says so
    idle = sorted(set(acted) - used - twins - mentioned - for_texts - of_transports)
    assert not idle, f'marked ACTED, and nothing looks at them: {idle}'
    unknown = sorted(used - {name for _, name, _ in entries})
    assert not unknown, unknown


# The first minutes: what a start says, and who may relay.

def test_a_file_of_ours_starts_quietly(hosts):
    server = hosts(start=False)
    done = server.hato('start')
    said = [l for l in done.stderr.splitlines() if 'everything runs as root' not in l]  # root where hato's users were not made
    assert not said and len(done.stdout.splitlines()) <= 1, (done.stderr, done.stdout)


def test_a_file_without_level_is_told(folder):
    with open(folder + '/main.cf', 'w') as f:
        f.write('myhostname = a.example\n')
    done = subprocess.run([HATO, '-c', folder, 'check'], capture_output=True, text=True)
    assert 'compatibility_level is not set' in done.stderr + done.stdout


# Names in the log.

def test_names_of_services_in_the_log(hosts):
    auth = '-o smtpd_sasl_auth_enable=yes'
    services = {'smtp': 'smtpd', 'debian': f'smtpd -o syslog_name=postfix/submission {auth}', 'submission': f'smtpd {auth}',
                'smtps': f'smtpd -o smtpd_tls_wrappermode=yes {auth}', 'debians': f'smtpd -o syslog_name=postfix/smtps -o smtpd_tls_wrappermode=yes {auth}',
                'imap': 'imapd'}
    server = hosts(services=services)
    for name in services:
        s = socket.create_connection(('127.0.0.1', server.ports[name]), 10)
        if services[name].find('wrapper') > 0:
            s = NO_NAME.wrap_socket(s)
        s.recv(1000)
        s.close()
    for tag in (r'hato/smtpd', r'postfix/submission/smtpd', r'hato/submission/smtpd', r'hato/smtps/smtpd', r'postfix/smtps/smtpd'):
        server.wait_log(rf' {tag}\[\d+\]: connect from localhost\[127.0.0.1\]')


def test_main_auth_does_not_rename_port_25(hosts):
    server = hosts(main='smtpd_sasl_auth_enable = yes\nsyslog_name = post', services={'smtp': 'smtpd'})
    server.dialogue().close()
    server.wait_log(r' post/smtpd\[\d+\]: connect from')


# Conversation.

def test_words_of_the_server(hosts):
    server = hosts(main='mail_name = Dove\nsmtpd_banner = $myhostname ESMTP $mail_name (quiet)\nsmtpd_helo_required = yes\ndisable_vrfy_command = no\n'
                        'smtputf8_enable = no\nmessage_size_limit = 54321\nsmtpd_recipient_limit = 2', accounts=[ANN, 'bob@example.test'])
    with server.dialogue() as d:
        assert d.banner[1] == '220 mail.example.test ESMTP Dove (quiet)'
        d.say('MAIL FROM:<a@b.test>', 503)
        offer = d.ehlo()
        assert 'SIZE 54321' in offer and 'VRFY' in offer and 'SMTPUTF8' not in offer
        d.say('MAIL FROM:<a@b.test> SIZE=60000', 552)
        d.envelope('a@b.test', ANN, 'bob@example.test')
        d.say(f'RCPT TO:<x+{ANN}>', 452)
        d.say('DATA', 354)
        d.raw(message('a@b.test', ANN, 'named') + '.\r\n')
        assert d.reply()[0] == 250
    assert re.search(r'by mail\.example\.test \(Dove\) with ESMTP id', server.wait_message(ANN, 'named')['Received'])


def test_time_limit(hosts):
    server = hosts(main='smtpd_timeout = 2s')
    with server.dialogue() as d:
        d.ehlo()
        start = time.monotonic()
        assert d.reply()[0] == 421
        assert 1 < time.monotonic() - start < 10 * SLOW
        assert d.closed()
    server.wait_log(r'timeout after EHLO from')


def test_time_limit_is_for_whole_requests(hosts):
    """A client that sends a byte now and then gains nothing."""
    server = hosts(main='smtpd_timeout = 2s')
    with server.dialogue() as d:
        start = time.monotonic()
        try:
            for byte in 'EHLO a.very.slow.client.example.test':
                d.raw(byte)
                time.sleep(0.3)
        except OSError:
            pass
        assert d.reply()[0] in (0, 421)
        assert time.monotonic() - start < 15 * SLOW


def test_error_limits(hosts):
    server = hosts(main='smtpd_soft_error_limit = 1\nsmtpd_hard_error_limit = 3\nsmtpd_error_sleep_time = 1s')
    with server.dialogue() as d:
        start = time.monotonic()
        codes = [d.say('NONSENSE')[0] for _ in range(3)]
        assert set(codes) <= {500, 502} and d.reply()[0] == 421, codes
        assert time.monotonic() - start > 1
        assert d.closed()


def test_junk_commands(hosts):
    server = hosts(main='smtpd_junk_command_limit = 2\nsmtpd_hard_error_limit = 2\nsmtpd_error_sleep_time = 0s')
    with server.dialogue() as d:
        codes = [d.say('NOOP')[0] for _ in range(6)]
        assert codes[:2] == [250, 250] and 421 in codes, codes


def test_hops(hosts):
    server = hosts(main='hopcount_limit = 3', accounts=[ANN])
    with server.smtp() as s, pytest.raises(smtplib.SMTPResponseException) as e:
        s.sendmail('a@b.test', [ANN], 'Received: from x by y; now\r\n' * 4 + message('a@b.test', ANN, 'loop'))
    assert e.value.smtp_code == 554 and b'too many hops' in e.value.smtp_error


def test_long_queue_ids(hosts):
    server = hosts(main='enable_long_queue_ids = yes', accounts=[ANN])
    with server.dialogue() as d:
        d.ehlo()
        d.envelope('a@b.test', ANN)
        d.say('DATA', 354)
        d.raw(message('a@b.test', ANN, 'long') + '.\r\n')
        assert re.search(r'queued as [0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,}z[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-y]+$', d.reply()[1])


# Limits of clients.

def test_connections_at_one_time(hosts):
    server = hosts(main=STRANGERS + 'smtpd_client_connection_count_limit = 2', accounts=[ANN])
    first, second = server.dialogue(), server.dialogue()
    third = server.dialogue()
    assert third.banner[0] == 421 and '4.7.0' in third.banner[1] and 'too many connections' in third.banner[1]
    assert third.closed()
    first.say('QUIT', 221)
    assert first.closed()
    wait_until(lambda: server.dialogue().banner[0] == 220, 5, 'room for another')
    server.wait_log('too many connections')
    second.close()


def test_users_do_not_count_as_strangers(hosts):
    """smtpd_client_connection_count_limit is about strangers: who has logged in over IMAP has a limit of his own."""
    server = hosts(main=STRANGERS + 'smtpd_client_connection_count_limit = 2\nimapd_connection_limit_per_user = 4', accounts=[ANN])
    users = [server.imap(ANN) for _ in range(4)]
    with pytest.raises(imaplib.IMAP4.error, match=r'You have 4 connections already \(imapd_connection_limit_per_user\)'):
        server.imap(ANN)
    assert wait_until(lambda: server.dialogue().banner[0] == 220, 5)
    users.pop().logout()
    users.append(wait_until(lambda: try_imap(server), 5, 'room for another connection of the user'))
    for u in users:
        u.logout()


def try_imap(server):
    try:
        return server.imap(ANN)
    except Exception:
        return None


def test_connection_rate(hosts):
    server = hosts(main=STRANGERS + 'smtpd_client_connection_rate_limit = 3\nanvil_rate_time_unit = 4s')
    time.sleep(0.1)
    codes = []
    for _ in range(5):
        with server.dialogue() as d:
            codes.append(d.banner[0])
    assert codes == [220] * 3 + [421] * 2
    time.sleep(4)
    with server.dialogue() as d:
        assert d.banner[0] == 220


def test_exceptions_have_no_limits(hosts):
    server = hosts(main='smtpd_client_connection_count_limit = 1\nsmtpd_client_connection_rate_limit = 1')  # 127.0.0.0/8 is in mynetworks
    open_ = [server.dialogue() for _ in range(4)]
    assert [d.banner[0] for d in open_] == [220] * 4
    for d in open_:
        d.close()


def test_message_and_recipient_rates(hosts):
    server = hosts(main=STRANGERS + 'smtpd_client_message_rate_limit = 2\nsmtpd_client_recipient_rate_limit = 3', accounts=[ANN])
    with server.dialogue() as d:
        d.ehlo()
        d.envelope('a@b.test', ANN, ANN)
        d.say('RSET', 250)
        d.say('MAIL FROM:<a@b.test>', 250)
        d.say(f'RCPT TO:<{ANN}>', 250)
        code, text = d.say(f'RCPT TO:<{ANN}>')
        assert code == 450 and '4.7.1' in text and 'too many recipients' in text
        d.say('RSET', 250)
        code, text = d.say('MAIL FROM:<a@b.test>')
        assert code == 450 and 'too much mail from' in text


def test_login_rate(hosts):
    server = hosts(main=STRANGERS + 'smtpd_client_auth_rate_limit = 2', accounts=[ANN])
    for _ in range(2):
        server.smtp('smtps', ANN).quit()
    with pytest.raises(smtplib.SMTPAuthenticationError) as e:
        server.smtp('smtps', ANN)
    assert e.value.smtp_code == 450
    with pytest.raises(Exception):
        server.imap(ANN)


def test_a_service_has_limits_of_its_own(hosts):
    services = {'smtp': 'smtpd', 'narrow': 'smtpd -o smtpd_client_connection_rate_limit=1 -o smtpd_banner=narrow'}
    server = hosts(main=STRANGERS, services=services)
    codes = []
    for _ in range(3):
        with server.dialogue('narrow') as d:
            codes.append(d.banner[0])
    assert codes == [220, 421, 421]
    with server.dialogue() as d:  # and counts for itself
        d.ehlo()


def test_connections_are_counted_by_service(hosts):
    services = {'smtp': 'smtpd', 'other': 'smtpd -o smtpd_banner=other', 'imap': 'imapd'}
    server = hosts(main=STRANGERS + 'smtpd_client_connection_count_limit = 2', services=services)
    with server.dialogue() as a, server.dialogue() as b, server.dialogue() as c, server.dialogue('other') as d:
        assert [x.banner[0] for x in (a, b, c, d)] == [220, 220, 421, 220]
    assert server.dialogue().banner[0] == 220


def test_process_limit_of_a_service(hosts):
    """maxproc in master.cf: the next client waits until one has gone, as with Postfix."""
    server = hosts(start=False)
    server.configure(master=f'127.0.0.1:{server.ports["smtp"]} inet n - n - 2 smtpd\n')
    server.start()
    two = [server.dialogue(), server.dialogue()]
    waiting = socket.create_connection(('127.0.0.1', server.ports['smtp']), 10)
    waiting.settimeout(1)
    with pytest.raises(TimeoutError):
        waiting.recv(100)
    two[0].close()
    waiting.settimeout(10 * SLOW)
    assert waiting.recv(100).startswith(b'220 ')
    waiting.close()
    two[1].close()


# TLS.

def versions(port, wrapper=False):
    """What a client with each version gets: {version: reached}."""
    got = {}
    for name, version in (('1.2', ssl.TLSVersion.TLSv1_2), ('1.3', ssl.TLSVersion.TLSv1_3)):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
        try:
            if wrapper:
                with socket.create_connection(('127.0.0.1', port), 10) as s, context.wrap_socket(s) as t:
                    got[name] = t.version() == f'TLSv{name}'
            else:
                with smtplib.SMTP('127.0.0.1', port, timeout=10) as s:
                    s.starttls(context=context)
                    got[name] = s.sock.version() == f'TLSv{name}'
        except (ssl.SSLError, smtplib.SMTPException, OSError):
            got[name] = False
    return got


def test_tls_versions(hosts):
    services = {**SERVICES, 'old': 'smtpd -o smtpd_tls_protocols=!TLSv1.3'}
    server = hosts(main='smtpd_tls_security_level = may\nsmtpd_tls_protocols = >=TLSv1.2\nsmtpd_tls_mandatory_protocols = >=TLSv1.3', services=services)
    both, only13, only12 = {'1.2': True, '1.3': True}, {'1.2': False, '1.3': True}, {'1.2': True, '1.3': False}
    assert versions(server.ports['smtp']) == both
    assert versions(server.ports['old']) == only12
    assert versions(server.ports['submission']) == only13
    assert versions(server.ports['smtps'], True) == only13
    assert versions(server.ports['imaps'], True) == only13


def test_no_tls_version_left(hosts):
    server = hosts(start=False, main='smtpd_tls_protocols = !TLSv1.2, !TLSv1.3')
    done = server.hato('start', check=False)
    assert done.returncode != 0 and 'smtpd_tls_protocols' in done.stderr


# What this version does not do is said.

@pytest.mark.parametrize('line, words', [
    ('smtp_tlsrpt_enable = yes', 'not acted on'),
])
def test_what_is_not_done_is_said(hosts, line, words):
    server = hosts(start=False, main=line)
    done = server.hato('check')
    assert words in done.stderr + done.stdout and line.split(' ')[0] in done.stderr + done.stdout


# The log.

def test_json(hosts):
    server = hosts(main='log_format = json\nsmtpd_tls_loglevel = 1', accounts=[ANN])
    server.send('a@b.test', ANN, message('a@b.test', ANN, 'json'))
    server.smtp('submission', ANN).quit()
    with server.dialogue() as d:
        d.say('EHLO "quoted\\"name')
        d.say('MAIL FROM:<"a\\"b"@c.test>')
        d.say('RCPT TO:<nobody@example.test>')
    server.hato('reload')
    server.messages(ANN)
    server.wait_log('"text":"reload')
    server.stop()
    lines = [json.loads(l) for l in server.log().splitlines()]
    assert len(lines) > 10
    for l in lines:
        assert {'time', 'service', 'session', 'level', 'host'} <= set(l), l
        assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z', l['time']) and isinstance(l['session'], int)
    assert {'smtpd', 'submission/smtpd', 'master'} <= {l['service'] for l in lines}


@pytest.mark.parametrize('form', ['text', 'json'])
def test_strangers_cannot_write_into_the_log(hosts, form):
    server = hosts(main=f'log_format = {form}\ndisable_vrfy_command = no\nsmtpd_hard_error_limit = 1000\nsmtpd_soft_error_limit = 1000', accounts=[ANN])
    evil = [b'a\x1b[2J', b'a\x07\x08', b'x' * 2000, b'\x9b31m\xff\xfe', 'é\u202e\u0085'.encode(), b'a\tb', b'a\x7f', b'a\x00b', b'%s%n%x', b'a\nNov 22 04:31:39 x']
    for e in evil:
        with server.dialogue() as d:
            for line in (b'EHLO ' + e, b'EHLO ok.test', b'MAIL FROM:<' + e + b'@c.test>', b'MAIL FROM:<"' + e + b'"@c.test>', b'MAIL FROM:<a@c.test>',
                         b'RCPT TO:<' + e + b'@example.test>', b'RCPT TO:<"' + e + b'"@example.test>', b'VRFY ' + e, e, b'AUTH PLAIN ' + e):
                d.raw(line + b'\r\n')
                if not d.reply()[0]:
                    break
        import base64
        with server.smtp('smtps') as s:
            s.ehlo()
            s.docmd('AUTH PLAIN ' + base64.b64encode(b'\0' + e.replace(b'\0', b'') + b'\0pw').decode())
        with NO_NAME.wrap_socket(socket.create_connection(('127.0.0.1', server.ports['imaps']), 10)) as m:
            m.recv(1000)
            user = e.replace(b'\0', b'')
            m.sendall(b'a LOGIN {%d+}\r\n%s {2+}\r\npw\r\n' % (len(user), user))  # the answer comes late on purpose
    server.stop()
    with open(server.folder + '/mail.log', 'rb') as f:
        log = f.read()
    lines = log.split(b'\n')
    assert lines.pop() == b''
    assert not re.search(rb'[\x00-\x09\x0b-\x1f\x7f]', log), re.search(rb'.{60}[\x00-\x09\x0b-\x1f\x7f].{20}', log)
    text = log.decode()  # all of it is UTF-8 …
    assert not re.search('[\x80-\x9f\u202a-\u202e\u2066-\u2069]', text), 'a C1 control or a change of direction'  # … and cannot steer a terminal
    for l in text.splitlines():
        if form == 'json':
            json.loads(l)
        else:
            assert re.match(r'\w{3} [ \d]\d \d\d:\d\d:\d\d mail (hato/[\w/-]+|opendkim|opendmarc|dovecot)\[\d+\]: ', l), l
    assert len(max(lines, key=len)) < 20000


# IMAP.

def test_imap_time_limits(hosts):
    server = hosts(main='imapd_login_timeout = 2s\nimapd_idle_timeout = 3s', accounts=[ANN])
    with NO_NAME.wrap_socket(socket.create_connection(('127.0.0.1', server.ports['imaps']), 10 * SLOW)) as s:
        assert s.recv(1000).startswith(b'* OK')
        start = time.monotonic()
        assert b'BYE' in s.recv(1000)
        assert 1 < time.monotonic() - start < 8 * SLOW
    with NO_NAME.wrap_socket(socket.create_connection(('127.0.0.1', server.ports['imaps']), 10 * SLOW)) as s:
        s.recv(1000)
        s.sendall(f'a LOGIN {ANN} secret\r\n'.encode())
        assert b'a OK' in s.recv(1000)
        start = time.monotonic()
        assert b'BYE' in s.recv(1000)
        assert 2 < time.monotonic() - start < 9 * SLOW


def test_imap_settings_after_a_reload(hosts):
    """APPEND keeps to message_size_limit; a session under way keeps the one it began with."""
    server = hosts(main='message_size_limit = 100000', accounts=[ANN])
    text = message(ANN, ANN, 'large', noise(60000)).encode()
    old = server.imap(ANN)
    server.configure('message_size_limit = 20000')
    server.hato('reload')
    server.wait_log('reload -- version')

    def refused():
        m = server.imap(ANN)
        try:
            return m.append('INBOX', None, None, text)[0] == 'NO'
        except Exception:
            return True
        finally:
            m.shutdown()
    wait_until(refused, 10, 'the new limit')
    assert old.append('INBOX', None, None, text)[0] == 'OK'
    old.logout()


# The ends of the ranges.

def test_smallest_limits(hosts):
    server = hosts(main='edge_worker_limit = 1\ncore_worker_limit = 1\nrelay_worker_limit = 1\nblob_inline_limit = 0\nline_length_limit = 200', accounts=[ANN])
    for n in range(5):
        server.send('a@b.test', ANN, message('a@b.test', ANN, f'small {n}', noise(200000 * (n == 3) + 100)))
    server.send(ANN, ANN, message(ANN, ANN, 'small 5'), 'submission', ANN)
    assert server.subjects(ANN) == [f'small {n}' for n in range(6)]
    with server.dialogue() as d:
        assert d.say('NOOP ' + 'x' * 300)[0] in (500, 421)


def test_largest_limits(hosts):
    most = 2147483647
    server = hosts(main=f'line_length_limit = {most}\nsmtpd_recipient_limit = {most}\nsmtpd_hard_error_limit = {most}\nsmtpd_soft_error_limit = {most}\n'
                        f'hopcount_limit = {most}\nrelay_worker_limit = {most}\nsmtpd_timeout = 1000d\nhistory_lifetime = 10000d\n'
                        'edge_worker_limit = 4096\ncore_worker_limit = 4096\nmessage_size_limit = 0\ndefault_destination_recipient_limit = 0', accounts=[ANN])
    with server.dialogue() as d:
        d.ehlo()
        for size in (1000, 50000, 70000):
            assert d.say('NOOP ' + 'x' * size)[0] in (0, 250, 500, 501, 421)
    server.send('a@b.test', ANN, message('a@b.test', ANN, 'large'))
    assert server.subjects(ANN) == ['large']
    assert len(server.pids()) == 5 and 'ended' not in server.log()


# Words of notices.

def test_bounce_templates(hosts, folder):
    with open(folder + '/bounce.cf', 'w', encoding='utf-8') as f:
        f.write('success_template = <<EOF\nCharset: utf-8\nFrom: post@office.test (The Pigeon)\nSubject: It came back\n\n'
                'Dear sender, $myhostname did it: größer. Costs: $$1\nEOF\n')
    server = hosts(main=f'bounce_template_file = {folder}/bounce.cf\n', accounts=[ANN])
    with server.smtp() as s:
        s.sendmail(ANN, ANN, 'Subject: hello\n\nbody\n', rcpt_options=['NOTIFY=SUCCESS'])
    message = server.wait_message(ANN, lambda m: 'It came back' in str(m))
    text = message.get_payload(0).get_payload(decode=True).decode()
    assert message['From'] == 'The Pigeon <post@office.test>'
    assert 'Dear sender, mail.example.test did it' in text and 'Costs: $1' in text and 'in the mailbox of' not in text
    with open(folder + '/bounce.cf', 'w') as f:
        f.write('failure_template = <<EOF\nSubject: broken\n')
    done = server.hato('check', check=False)
    assert 'bounce.cf, line 2: missing end marker: EOF' in done.stderr


def test_networks_from_a_table(hosts, folder):
    with open(folder + '/nets', 'w') as f:
        f.write('127.0.0.1 friend\n')
    server = hosts(main=f'mynetworks = texthash:{folder}/nets\n', accounts=[ANN])
    with server.dialogue() as d:
        d.ehlo()
        d.say('MAIL FROM:<x@far.test>', 250)
        d.say('RCPT TO:<y@elsewhere.test>', 250)
    with open(folder + '/nets', 'w') as f:
        f.write('192.0.2.1 friend\n')

    def refused():
        with server.dialogue() as d:
            d.ehlo()
            d.say('MAIL FROM:<x@far.test>', 250)
            return d.say('RCPT TO:<y@elsewhere.test>')[0] in (454, 554)
    wait_until(refused, 15, 'the changed table to count')


# TLS of the server.

def shake(server, service, wrapper=False, **more):
    """A TLS handshake with these limits; (cipher's name, our certificate was asked for) or what went wrong."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = more.get('most', ssl.TLSVersion.TLSv1_2)
    if 'ciphers' in more:
        context.set_ciphers(more['ciphers'])
    if 'pair' in more:
        context.load_cert_chain(*more['pair'])
    s = socket.create_connection(('127.0.0.1', server.ports[service]), 10)
    try:
        if not wrapper:
            s.recv(1000), s.sendall(b'EHLO x.test\r\n'), s.recv(4000), s.sendall(b'STARTTLS\r\n'), s.recv(1000)
        s = context.wrap_socket(s)
        s.sendall(b'EHLO x.test\r\n')
        assert s.recv(4000)
        return s.cipher()[0]
    except OSError as e:
        return e
    finally:
        s.close()


def test_ciphers_of_the_server(hosts):
    services = {'smtp': 'smtpd', 'strict': 'smtpd -o smtpd_tls_security_level=encrypt -o smtpd_tls_mandatory_ciphers=high -o smtpd_tls_mandatory_exclude_ciphers=AES256',
                'order': 'smtpd -o tls_preempt_cipherlist=yes -o smtpd_tls_ciphers=high -o { tls_high_cipherlist = ECDHE+AES256:ECDHE+CHACHA20:ECDHE+AES128 }'}
    server = hosts(main='smtpd_tls_exclude_ciphers = AES128, SHA1\ntls_ssl_options = NO_COMPRESSION\n', services=services)
    assert 'AES256' in shake(server, 'smtp', ciphers='ECDHE+AES256')
    assert isinstance(shake(server, 'smtp', ciphers='ECDHE+AES128'), OSError)
    assert isinstance(shake(server, 'strict', ciphers='ECDHE+AES256'), OSError)
    assert 'CHACHA20' in shake(server, 'strict', ciphers='ECDHE+CHACHA20:ECDHE+AES256')
    assert 'AES256' in shake(server, 'order', ciphers='ECDHE+CHACHA20:ECDHE+AES256')
    assert 'CHACHA20' in shake(server, 'smtp', ciphers='ECDHE+CHACHA20:ECDHE+AES256')  # the client's order


def test_certificates_of_clients(hosts, folder):
    known, unknown = make_certificate(folder, 'known', 'friend.test'), make_certificate(folder, 'unknown', 'stranger.test')
    services = {'smtp': 'smtpd -o smtpd_tls_ask_ccert=yes', 'strict': 'smtpd -o smtpd_tls_wrappermode=yes -o smtpd_tls_req_ccert=yes', 'plain': 'smtpd'}
    server = hosts(main=f'smtpd_tls_CAfile = {known[0]}\nsmtpd_tls_loglevel = 1\n', services=services)
    for pair, word in ((known, 'Trusted'), (unknown, 'Untrusted'), (None, 'Anonymous')):
        more = {'pair': pair} if pair else {}
        assert isinstance(shake(server, 'smtp', **more), str)
        server.wait_log(f'{word} TLS connection established from')
        got = shake(server, 'strict', wrapper=True, **more)
        assert isinstance(got, str) == (word == 'Trusted'), (word, got)
    assert isinstance(shake(server, 'plain', pair=unknown), str)


def test_keys_of_two_kinds(hosts, folder):
    ec, rsa = make_certificate(folder, 'ec', 'mail.example.test'), (folder + '/rsa.crt', folder + '/rsa.key')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '9', '-out', rsa[0], '-keyout', rsa[1], '-subj',
                    '/CN=mail.example.test', '-addext', 'subjectAltName=DNS:mail.example.test'], check=True, capture_output=True)
    server = hosts(main=f'smtpd_tls_cert_file = {rsa[0]}\nsmtpd_tls_key_file = {rsa[1]}\nsmtpd_tls_eccert_file = {ec[0]}\nsmtpd_tls_eckey_file = {ec[1]}\n')
    assert 'ECDSA' in shake(server, 'smtp', ciphers='ECDHE+ECDSA') and 'RSA' in shake(server, 'smtp', ciphers='ECDHE+aRSA')


def test_characters_and_odd_addresses(hosts):
    """message_strip_characters, message_reject_characters, resolve_numeric_domain, resolve_null_domain, allow_min_user, local_login_sender_maps."""
    server = hosts(main='message_strip_characters = \\0\\007\nmessage_reject_characters = \\033\nresolve_numeric_domain = yes\nresolve_null_domain = yes\n'
                        'local_login_sender_maps = inline:{{root = ann@example.test @list.test}}\nmynetworks = 127.0.0.0/8\n', accounts=['bob@example.test'])

    def say(body, to='bob@example.test', sender='x@example.com'):
        with server.dialogue('smtp') as d:
            d.ehlo()
            for word in (f'MAIL FROM:<{sender}>', f'RCPT TO:<{to}>'):
                answer = d.say(word)
                if answer[0] != 250:
                    return answer[1]
            d.say('DATA')
            return d.say(f'Subject: odd\r\n\r\n{body}\r\n.')[1]
    assert say('a\0b\ac').startswith('250')
    assert 'abc' in server.wait_message('bob@example.test', 'odd').get_payload()
    assert say('a\x1bb').startswith('550 5.7.1')
    assert say('x', to='-bob@example.test').startswith('501 5.1.3')
    assert say('x', to='bob@127.0.0.1')[:3] in ('250', '550')  # an address of ours or of nobody, but an address
    assert say('x', to='bob@').startswith(('250', '550 5.1.1'))
    for sender, code in (('ann@example.test', 0), ('y@list.test', 0), ('eve@example.test', 1)):
        done = subprocess.run([f'{os.path.dirname(__file__)}/../../build/sendmail', '-C', server.folder, '-i', '-f', sender, 'bob@example.test'], input='Subject: by hand\n\nx\n',
                              text=True, capture_output=True, timeout=60)
        assert (done.returncode != 0) == bool(code), (sender, done)
