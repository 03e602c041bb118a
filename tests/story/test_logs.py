# SPDX-License-Identifier: Apache-2.0
"""Log lines in Postfix's words: pflogsumm, fail2ban's filters and logwatch, as Debian ships them, read what hato writes; for the
same traffic pflogsumm counts the same as over Postfix's own log."""
import base64, contextlib, json, re, smtplib, socket, subprocess
import pytest
from around import *

pytestmark = pytest.mark.root
DOMAIN = 'post.test'
ANN = f'ann@{DOMAIN}'


def traffic(port, sinks):
    """The same for both. Mail to far.test is taken, to full.test refused for good, to busy.test put off."""
    def session():
        return smtplib.SMTP('127.0.0.1', port, timeout=30 * SLOW)
    for i in range(3):
        with session() as s:
            s.sendmail('x@else.test', [ANN], message('x@else.test', ANN, f'local {i}'))
    with session() as s:
        s.sendmail(ANN, ['a@far.test', 'b@far.test'], message(ANN, 'a@far.test', 'out'))
        s.sendmail(ANN, ['c@full.test'], message(ANN, 'c@full.test', 'refused'))
        s.sendmail(ANN, ['d@busy.test'], message(ANN, 'd@busy.test', 'put off'))
    for to in (f'nobody@{DOMAIN}', f'other@{DOMAIN}'):
        with session() as s:
            s.ehlo()
            s.mail('x@else.test')
            assert s.rcpt(to)[0] == 550
    with socket.create_connection(('127.0.0.1', port)) as s:  # who leaves without a word
        s.recv(100)
        s.sendall(b'EHLO gone\r\n')
        s.recv(1000)
    with socket.create_connection(('127.0.0.1', port)) as s:
        s.recv(100)
        for line in (b'HELO x\r\n', b'MAIL FROM:<a b c>\r\n', b'MAIL FROM:<x@else.test>\r\n', b'RCPT TO:<d e f>\r\n'):
            s.sendall(line)
            s.recv(1000)
    with socket.create_connection(('127.0.0.1', port)) as s:
        s.recv(100)


ROUTES = ('transport_maps = inline:{{ far.test=smtp:[127.0.0.1]:{far}, full.test=smtp:[127.0.0.1]:{full}, busy.test=smtp:[127.0.0.1]:{busy} }}\n')


@pytest.fixture
def logs(hosts, postfix, sink):
    """(hato, Postfix), after the same traffic."""
    def sinks():
        return dict(far=sink(), full=sink(replies={'RCPT TO:': '550 5.1.1 no such user'}), busy=sink(replies={'RCPT TO:': '450 4.2.0 greylisted'}))
    def finished(log):
        return len(re.findall(r': removed\n', log)) >= 6 and 'status=deferred' in log and 'lost connection after' in log
    found = []
    for make in ('hato', 'postfix'):
        s = sinks()
        routes = ROUTES.format(**{name: s[name].port for name in s})
        if make == 'hato':
            server = hosts(host=f'mx.{DOMAIN}', accounts=[ANN], main=routes + f'syslog_name = postfix\nmyorigin = {DOMAIN}\nsmtpd_tls_loglevel = 1\n')
            port = server.ports['smtp']
        else:
            port = free_port()
            server = postfix(DOMAIN, users=['ann'], port=port, tls=False, main=routes)
        traffic(port, s)
        wait_until(lambda: finished(server.log()), 30, lambda: 'the end of the traffic:\n' + server.log())
        found.append(server)
    return found


def pflogsumm(log, *options):
    done = subprocess.run(['pflogsumm', '--problems_first', *options], input=log, capture_output=True, text=True, check=True)
    assert done.stderr == '', done.stderr
    return done.stdout


def totals(summary):
    part = summary.split('messages\n')[1].split('Per-Day')[0].split('Per-Hour')[0]
    return {name.strip(): int(number) for number, name in re.findall(r'^\s*(\d+)k?\s+([a-z][a-z ()0-9%]*?)(?:\s+\(.*\))?$', part, re.M)}


def section(summary, head):
    m = re.search(rf'^{re.escape(head)}[^\n]*\n-+\n(.*?)(?:\n\n|\Z)', summary, re.M | re.S)
    return m.group(1) if m else ''


def test_pflogsumm_counts_the_same(logs):
    ours, theirs = (pflogsumm(server.log()) for server in logs)
    a, b = totals(ours), totals(theirs)
    a.pop('bytes received', None), a.pop('bytes delivered', None), b.pop('bytes received', None), b.pop('bytes delivered', None)
    assert a == b, f'{ours}\n{theirs}'
    assert a['received'] == 6 and a['delivered'] == 6 and a['deferred'] == 1 and a['bounced'] == 1 and a['rejected'] == 2
    for head in ('Senders by message count', 'Recipients by message count', 'message bounce detail', 'message deferral detail',
                 'message reject detail', 'Host/Domain Summary: Message Delivery'):
        one, other = (re.sub(r':\d+|port \d+|\d+[km]?\b', 'N', section(s, head)) for s in (ours, theirs))
        assert sorted(one.split('\n')) == sorted(other.split('\n')), f'{head}:\n{one}\nPostfix:\n{other}'


def test_pflogsumm_with_our_own_name(hosts):
    server = hosts(host=f'mx.{DOMAIN}', accounts=[ANN])
    server.send('x@else.test', ANN, message('x@else.test', ANN, 'x'))
    server.wait_log('removed')
    found = totals(pflogsumm(server.log(), '--syslog_name=hato'))
    assert found['received'] == found['delivered'] == 1


def fail2ban(folder, log, mode):
    path = f'{folder}/postfix.log'
    with open(path, 'w') as f:
        f.write(log)
    done = subprocess.run(['fail2ban-regex', '--print-all-matched', path, f'postfix[mode={mode}]'], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_fail2ban(hosts, folder):
    """Wrong passwords, relay attempts and unknown users are found, with the address to ban."""
    server = hosts(host=f'mx.{DOMAIN}', accounts=[ANN], networks='127.0.0.2/32', main='compatibility_level = 3.11\nsyslog_name = postfix\nsmtpd_tls_auth_only = no\n'
                   'smtpd_sasl_auth_enable = yes\n')
    with server.smtp() as s:
        s.ehlo()
        for password in ('wrong', 'again'):
            assert s.docmd('AUTH PLAIN', base64.b64encode(f'\0{ANN}\0{password}'.encode()).decode())[0] == 535
        s.mail('x@else.test')
        assert s.rcpt('x@far.test')[0] == 554 and s.rcpt(f'nobody@{DOMAIN}')[0] == 550
    server.wait_log('disconnect from')
    for mode, want in (('normal', 2), ('auth', 2), ('aggressive', 4)):
        out = fail2ban(folder, server.log(), mode)
        found = int(re.search(r'(\d+) matched', out).group(1))
        assert found >= want, out
    assert re.search(r'warning: localhost\[127\.0\.0\.1\]: SASL PLAIN authentication failed: .*sasl_username=ann@post\.test', server.log())


def test_logwatch(logs, folder):
    """logwatch's postfix script takes every line of ours; what it cannot place it lists."""
    script = '/usr/share/logwatch/scripts/services/postfix'
    reports = [subprocess.run(['perl', '-I/usr/share/perl5', '-I/usr/share/logwatch/lib', script, '--detail', '10', '--nosummary', '--syslog_name', 'postfix'],
                              input=server.log(), capture_output=True, text=True) for server in logs]
    for report in reports:
        assert report.returncode == 0, report.stderr
    assert 'Unmatched' not in reports[0].stdout, reports[0].stdout


def shape(line):
    """What a line is, without its names, numbers and ids."""
    line = re.sub(r'^\w+ +\d+ [\d:]+ \S+ ', '', line)
    line = re.sub(r'\[\d+\]: (\w{8,}|[0-9A-F]{6,}): ', '[N]: ID: ', line)  # short where inodes are few
    line = re.sub(r'\[\d+\]:', '[N]:', line)
    line = re.sub(r'message-id=<[^>]*>', 'message-id=<M>', line)
    line = line.replace('delivered to maildir', 'delivered to mailbox')  # that is what it is here
    line = line.replace(': NOQUEUE: lost connection', ': lost connection')  # Postfix 3.10 says it with the id
    line = re.sub(r'queued as \w+|notification: \w+', lambda m: m.group().split(' ')[0] + ' ID', line)
    line = re.sub(r'<[^<>]*@(mx\.)?post\.test>', '<A>', line)
    return re.sub(r'\d+(\.\d+)?', 'N', line)


def test_line_shapes(logs):
    """Line by line: each kind of line that Postfix writes about this traffic is written by hato, and no other kind but those listed."""
    ours, theirs = (set(map(shape, server.log().splitlines())) for server in logs)
    quiet = re.compile(r'postfix/(master|postfix-script|postlog|imap)\[|dovecot\[|opendkim\[|opendmarc\[')  # not of Postfix
    missing = {l for l in theirs - ours if not quiet.search(l)}
    extra = {l for l in ours - theirs if not quiet.search(l)}
    assert not missing and not extra, 'Postfix only:\n' + '\n'.join(sorted(missing)) + '\nhato only:\n' + '\n'.join(sorted(extra))


def test_tls_line_shapes(hosts, postfix, sink, folder):
    """The same for TLS on both sides of the server, with the same certificate."""
    logs = []
    for make in ('hato', 'postfix'):
        far = sink(folder=folder, extensions=['STARTTLS', '8BITMIME'])
        main = f'transport_maps = inline:{{ far.test=smtp:[127.0.0.1]:{far.port} }}\nsmtp_tls_loglevel = 1\nsmtpd_tls_loglevel = 1\n' \
               'smtp_tls_security_level = may\nsmtpd_tls_security_level = may\n'
        if make == 'hato':
            crt, key = make_certificate(folder, 'mx', f'mx.{DOMAIN}')
            server = hosts(host=f'mx.{DOMAIN}', accounts=[ANN], main=f'{main}syslog_name = postfix\nmyorigin = {DOMAIN}\n'
                           f'smtpd_tls_cert_file = {crt}\nsmtpd_tls_key_file = {key}\n')
            port = server.ports['smtp']
        else:
            port = free_port()
            server = postfix(DOMAIN, users=['ann'], port=port, main=main)
        with smtplib.SMTP('127.0.0.1', port, timeout=30 * SLOW) as s:
            s.starttls(context=NO_NAME)
            s.sendmail(ANN, ['a@far.test'], message(ANN, 'a@far.test', 'out'))
        s = smtplib.SMTP('127.0.0.1', port, timeout=30 * SLOW)
        s.ehlo()
        s.docmd('STARTTLS')
        s.sock.sendall(b'this is no handshake at all, sorry\r\n')
        with contextlib.suppress(OSError):
            s.sock.recv(100)  # an alert, or a reset
        s.close()
        wait_until(lambda: 'removed' in server.log() and 'starttls=0/1' in server.log(), 20, server.log)
        shapes = (re.sub(r'(SSL_accept error from \S+): .*|(key-exchange) \S+', r'\1\2', shape(l)) for l in server.log().splitlines())
        logs.append({l for l in shapes if re.search('TLS connection|SSL_accept|STARTTLS|starttls', l)})
    assert logs[0] == logs[1], 'hato only:\n' + '\n'.join(sorted(logs[0] - logs[1])) + '\nPostfix only:\n' + '\n'.join(sorted(logs[1] - logs[0]))


def test_json(hosts):
    """The same facts, one object a line."""
    server = hosts(accounts=['ann@example.test'], main='log_format = json\n')
    server.send('x@else.test', 'ann@example.test', message('x@else.test', 'ann@example.test', 'x'))
    server.wait_log('removed')
    lines = [json.loads(line) for line in server.log().splitlines()]
    sent = [l for l in lines if l.get('status') == 'sent'][0]
    assert sent['to'] == 'ann@example.test' and sent['dsn'] == '2.0.0' and sent['id'] and sent['service']
    assert [l for l in lines if l.get('client', '').startswith('localhost[')][0]['id'] == sent['id']
    assert [l for l in lines if l.get('from') == 'x@else.test'][0]['size'] > 0
