# SPDX-License-Identifier: Apache-2.0
"""A busy mix of everything: what pflogsumm, logwatch and fail2ban count in our log is what was sent, and what Postfix's own log of
the same gives; the log as JSON has the same events with the same facts."""
import base64, collections, contextlib, json, os, re, smtplib, socket, subprocess
import pytest
import postfix as postfix_
from around import *
from milter import CONTINUE, Milter, REJECT, quarantine
from hato import AUTH, Instance

pytestmark = pytest.mark.root
DOMAIN = 'post.test'
ANN, BOB = f'ann@{DOMAIN}', f'bob@{DOMAIN}'
INSIDE, STRANGER, LISTED = '127.0.0.2', '127.0.0.66', '127.0.0.67'
NAMES = '''
mail.stranger.test A 127.0.0.66
66.0.0.127.in-addr.arpa PTR mail.stranger.test.
67.0.0.127.in-addr.arpa PTR liar.stranger.test.
liar.stranger.test A 127.0.0.67
2.0.0.127.in-addr.arpa PTR inside.post.test.
inside.post.test A 127.0.0.2
67.0.0.127.black.test A 127.0.0.2
67.0.0.127.black.test TXT "listed"
'''
MAIN = '''myorigin = post.test
mynetworks = 127.0.0.2/32
transport_maps = inline:{{ far.test=smtp:[127.0.0.1]:{far}, full.test=smtp:[127.0.0.1]:{full}, busy.test=smtp:[127.0.0.1]:{busy} }}
smtpd_milters = {milter}
milter_default_action = accept
message_size_limit = 60000
smtpd_client_restrictions = permit_mynetworks, reject_rbl_client black.test
smtpd_helo_restrictions = check_helo_access inline:{{ bad.helo=REJECT }}
smtpd_sender_restrictions = check_sender_access inline:{{ {{ spam@bad.test=REJECT no spam }}, {{ hold@bad.test=HOLD kept }}, {{ gone@bad.test=DISCARD away }},
	{{ wait@bad.test=DEFER later }}, {{ list@bad.test=WARN look }} }}, warn_if_reject check_sender_access inline:{{ almost@bad.test=REJECT }}
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
header_checks = regexp:{{ {{ /^Subject: spam/ REJECT no spam }}, {{ /^Subject: look/ WARN seen }}, {{ /^Subject: away/ DISCARD away }}, {{ /^Subject: keep/ HOLD kept }} }}
body_checks = regexp:{{ {{ /viagra/ REJECT no pills }} }}
smtpd_tls_loglevel = 1
smtpd_error_sleep_time = 0
smtpd_junk_command_limit = 1000
smtpd_client_connection_count_limit = 0
notify_classes =
virtual_alias_maps = inline:{{ {{ team@post.test=ann@post.test, bob@post.test, z@far.test }} }}
'''


class Load:
    """Plays everything, and counts what it did. Every sender says what is to become of his mail."""
    def __init__(self, address, port):
        self.address, self.port, self.n = address, port, 0
        self.truth, self.senders, self.recipients, self.bytes = collections.Counter(), set(), set(), 0

    def session(self, client):
        s = smtplib.SMTP(self.address, self.port, timeout=30 * SLOW, source_address=(client, 0))
        s.ehlo('client.test')
        return s

    def mail(self, sender, to, subject='hello', body='text\r\n', client=STRANGER, tls=False, **count):
        """One message; count: what pflogsumm has to see of it."""
        self.n += 1
        with self.session(client) as s:
            if tls:
                s.starttls(context=NO_NAME)
            text = message(sender or 'MAILER-DAEMON', to[0], subject, f'{self.n}\r\n{body}')
            with contextlib.suppress(smtplib.SMTPException):
                s.sendmail(sender, to, text)
        self.truth.update(count)
        if count.get('delivered') or count.get('deferred') or count.get('bounced'):
            self.bytes += len(text)
            self.senders.add(sender or 'from=<>')

    def refused(self, client, sender, to, helo='client.test'):
        with self.session(client) as s:
            s.ehlo(helo)
            s.mail(sender)
            assert s.rcpt(to)[0] >= 400, (client, sender, to, helo)
        self.truth['rejected'] += 1

    def play(self):
        for i in range(5):
            self.mail(f's{i}@else.test', [ANN], received=1, delivered=1, tls=i % 2)
        self.mail('many@else.test', [ANN, BOB], 'for two', received=1, delivered=2)
        self.mail('large@else.test', [BOB], 'large', 'x' * 70 + '\r\n' + noise(30000), received=1, delivered=1)
        self.mail('team@else.test', [f'team@{DOMAIN}'], received=1, delivered=3)
        for i in range(3):
            self.mail(ANN, [f'a{i}@far.test', f'b{i}@far.test'], client=INSIDE, received=1, delivered=2)
        self.mail(ANN, ['no@full.test'], client=INSIDE, received=1, bounced=1, delivered=1)  # the notice is delivered
        self.senders.add('from=<>')
        self.mail('', ['no@full.test'], client=INSIDE, received=1, bounced=1)  # and there is none of a notice
        for i in range(2):
            self.mail(BOB, [f'later{i}@busy.test'], client=INSIDE, received=1, deferred=1)
        self.mail(BOB, ['both@busy.test', 'both@far.test'], client=INSIDE, received=1, deferred=1, delivered=1)
        # what has got an id was received, as pflogsumm has it, also when its text was refused or thrown away
        self.mail('hold@bad.test', [ANN], received=1, held=1)
        self.mail('x@else.test', [ANN], 'keep it', received=1, held=1)
        self.mail('milter-keep@else.test', [ANN], received=1, held=1)
        self.mail('gone@bad.test', [ANN], received=1, discarded=1)
        self.mail('x@else.test', [ANN], 'away with it', received=1, discarded=1)
        self.mail('x@else.test', [ANN], 'spam', received=1, rejected=1)
        self.mail('x@else.test', [ANN], 'pills', 'buy viagra\r\n', received=1, rejected=1)
        self.mail('list@bad.test', [ANN], received=1, delivered=1)
        self.mail('x@else.test', [ANN], 'look at this', received=1, delivered=1, **{'reject warnings': 1})
        self.mail('almost@bad.test', [ANN], received=1, delivered=1, **{'reject warnings': 1})
        self.mail('milter-no@else.test', [ANN])  # pflogsumm does not know a milter's refusal of MAIL
        self.mail('big@else.test', [ANN], 'too large', 'y' * 70000, rejected=1)
        for i in range(3):
            self.refused(STRANGER, 'x@else.test', f'nobody{i}@{DOMAIN}')
        for i in range(2):
            self.refused(STRANGER, 'x@else.test', f'x{i}@elsewhere.test')
        self.refused(LISTED, 'x@else.test', ANN)
        self.refused(STRANGER, 'x@else.test', ANN, helo='bad.helo')
        self.refused(STRANGER, 'spam@bad.test', ANN)
        self.refused(STRANGER, 'wait@bad.test', ANN)
        for say in (b'EHLO gone\r\n', b''):
            with socket.create_connection((self.address, self.port), source_address=(STRANGER, 0)) as s:
                s.recv(100)
                if say:
                    s.sendall(say)
                    s.recv(1000)
        return self


def pflogsumm(log):
    done = subprocess.run(['pflogsumm', '--problems_first', '--verbose_msg_detail'], input=log, capture_output=True, text=True, check=True)
    assert done.stderr == '', done.stderr
    return done.stdout


def totals(summary):
    part = summary.split('messages\n')[1].split('Per-Day')[0].split('Per-Hour')[0]
    found = {}
    for number, unit, name in re.findall(r'^\s*(\d+)([km]?)\s+([a-z][a-z /]*?)\s*(?:\(.*\))?$', part, re.M):
        found[name] = int(number) * {'': 1, 'k': 1024, 'm': 1048576}[unit]
    return found


def logwatch(log):
    """{what: how many}, as logwatch's summary has it; but for what a server says of itself, and the look whether it is there."""
    done = subprocess.run(['perl', '-I/usr/share/perl5', '-I/usr/share/logwatch/lib', '/usr/share/logwatch/scripts/services/postfix', '--detail', '0',
                           '--syslog_name', 'postfix'], input=log, capture_output=True, text=True)
    assert done.returncode == 0 and 'Unmatched' not in done.stdout, done.stderr + done.stdout
    return {what: int(n) for n, what in re.findall(r'^ +(\d+)   (\S.*?)  +[\d.]+%?$', done.stdout, re.M)
            if not re.match('Connections|Disconnections|Postfix start|Miscellaneous warnings', what)}


def sections(summary):
    """{head: sorted lines}; sizes, ports and times are each server's own."""
    found = {}
    for head, text in re.findall(r'^(\S[^\n]*)\n-+\n(.*?)(?=\n\S[^\n]*\n-+\n|\Z)', summary, re.M | re.S):
        head = re.sub(r' \(top .*|\s*\(total.*', '', head)
        lines = [re.sub(r'\]:\d+|\b\d{3,}(?=k?  )|\b\d+k\b|\d+\.\d+ [smh]|\b[0-9A-F]{9,16}\b', 'N', line) for line in text.splitlines()]
        found[head] = sorted(filter(None, map(str.strip, lines)))
    return found


@pytest.fixture
def mix(hosts, postfix, sink, dns, folder):
    """play('hato' or 'postfix', form): the server and the load that it has had."""
    senders = []  # one client at a time

    def at_mail(sender):
        senders.append(sender)
        return REJECT if b'milter-no@' in sender else CONTINUE
    milter = Milter(answers={'mail': at_mail, 'eom': lambda _: [quarantine('odd'), CONTINUE] if b'milter-keep@' in senders[-1] else CONTINUE})
    names = dns(NAMES, address=own_address(), port=53)

    def finished(log, truth):
        """Everybody who was to be heard of was."""
        return all(log.count(f'status={word}') >= truth[what] for word, what in (('sent', 'delivered'), ('bounced', 'bounced'), ('deferred', 'deferred'))) \
            and 'lost connection after CONNECT' in log and log.count(': connect from') == log.count(': disconnect from') and log.count(': client=') >= truth['received']

    def play(make, form='text'):
        far, full, busy = sink(), sink(replies={'RCPT TO:': '550 5.1.1 no such user'}), sink(replies={'RCPT TO:': '450 4.2.0 greylisted'})
        main = MAIN.format(far=far.port, full=full.port, busy=busy.port, milter=milter.spec)
        if make == 'hato':
            crt, key = make_certificate(folder, 'mx', f'mx.{DOMAIN}')
            server = hosts(host=f'mx.{DOMAIN}', accounts=[ANN, BOB], dns=names, networks=f'{INSIDE}/32', main=main + f'log_format = {form}\nsyslog_name = postfix\n'
                           f'smtpd_tls_cert_file = {crt}\nsmtpd_tls_key_file = {key}\nsmtpd_tls_security_level = may\nsender_check_exempt_networks = 0.0.0.0/0\n'
                           'minimal_backoff_time = 3000s\nmaximal_backoff_time = 4000s\n')
            port = server.ports['smtp']
        else:
            port = free_port()
            server = postfix(DOMAIN, users=['ann', 'bob'], port=port, dns=names, main=main + 'minimal_backoff_time = 3000s\nmaximal_backoff_time = 4000s\nqueue_run_delay = 3000s\n')
        load = Load('127.0.0.1', port).play()
        log = (lambda: '\n'.join(map(as_text, server.log().splitlines()))) if form == 'json' else server.log
        wait_until(lambda: finished(log(), load.truth), 40, lambda: f'the end of {load.truth}:\n' + server.log())
        return server, load
    yield play
    milter.close()


def as_text(line):
    """A line of JSON as the form for people has it, without its marks."""
    o = json.loads(line, object_pairs_hook=list)
    assert len({k for k, _ in o}) == len(o), f'a name twice: {line}'
    known = dict(o)
    head = ''.join(str(known.get(k, '')) + ': ' for k in ('id',) if k in known)
    level = f'{known["level"]}: ' if known['level'] not in ('info', 'debug') else ''
    fields = [f'{k}={v}' for k, v in o if k not in ('time', 'host', 'service', 'session', 'id', 'level', 'text')]
    return f'{known["service"]}: {level}{head}{known.get("text", "")}' + ', '.join(fields)


NOT_OF_BOTH = ('Per-Day', 'Per-Hour', 'Warnings', 'Master daemon messages', 'Grand Totals', 'Senders by message size', 'Recipients by message size')


@postfix_.to_the_letter
def test_pflogsumm_counts_the_truth(mix):
    """The totals are what was sent, from our log as from Postfix's; and all its tables agree, but for sizes."""
    summaries, counted = [], []
    for make in ('hato', 'postfix'):
        server, load = mix(make)
        summaries.append(pflogsumm(server.log()))
        found = totals(summaries[-1])
        want = dict(load.truth, forwarded=0, senders=len(load.senders), recipients=10)
        assert {k: found[k] for k in want} == want, f'{make}:\n{summaries[-1]}'
        assert load.bytes < found['bytes received'] < load.bytes + 700 * load.truth['received'], f'{make}:\n{summaries[-1]}'
        counted.append(logwatch(server.log()))
        assert (counted[-1]['Accepted'], counted[-1]['Deferred'], counted[-1]['Placed on hold']) == (want['received'], want['deferred'], want['held'])
        assert counted[-1]['Delivered'] + counted[-1]['Sent via SMTP'] == want['delivered']
    assert counted[0] == counted[1]
    ours, theirs = map(sections, summaries)
    for head in sorted(set(ours) | set(theirs)):
        if not head.startswith(NOT_OF_BOTH):
            assert ours.get(head) == theirs.get(head), f'{head}:\n{summaries[0]}\nPostfix:\n{summaries[1]}'


def events(lines):
    """What each line says, without ids, ports, times and the marks of the form for people."""
    found = collections.Counter()
    for line in lines:
        if not re.match(r'(?:smtpd|cleanup|qmgr|virtual|smtp|bounce|error|discard|milter)\b', line):
            continue
        line = re.sub(r'\b[0-9A-F]{16}\b', 'ID', re.sub(r'delays?=[\d./]+|conn_use=\d+|[<>()]|remark=|\]:\d+', '', line))
        found[re.sub(r'size=\d+|message-id=\S+|[,\s]+', ' ', line).strip()] += 1
    return found


def test_json_tells_the_same(mix):
    """Event by event: the log as JSON, put into words, is the log in words."""
    texts = []
    for form in ('text', 'json'):
        server, load = mix('hato', form)
        lines = server.log().splitlines()
        if form == 'text':
            texts.append(events(re.sub(r'^.*? postfix/(\S+)\[\d+\]: ', r'\1: ', line) for line in lines))
        else:
            texts.append(events(map(as_text, lines)))
            count = collections.Counter(json.loads(line).get('status') for line in lines)
            assert (count['sent'], count['deferred'], count['bounced']) == (load.truth['delivered'], load.truth['deferred'], load.truth['bounced'])
            sent = [o for o in map(json.loads, lines) if o.get('status') == 'sent']
            assert all(o['to'] and o['relay'] and o['delay'] and o['dsn'].startswith('2.') and o['remark'] for o in sent)
    only = [texts[0] - texts[1], texts[1] - texts[0]]
    assert texts[0] and not any(only), only


def banned(folder, log, filter_):
    """{address: how many lines of it this filter of fail2ban's finds}"""
    path = f'{folder}/mail-for-fail2ban.log'
    with open(path, 'w') as f:
        f.write(log)
    done = subprocess.run(['fail2ban-regex', '-o', 'found <ip>', path, filter_], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return dict(collections.Counter(re.findall(r'^found (\S+)$', done.stdout, re.M)))


def test_fail2ban_finds_who_it_was(hosts, folder, dns):
    """Each filter counts the lines of each client: guesses at SMTP, IMAP and POP3, refused mail, postscreen's catch."""
    names = dns(NAMES, address=own_address(), port=53)
    server = hosts(host=f'mx.{DOMAIN}', accounts=[ANN], dns=names, networks='127.0.0.2/32', start=False,
                   main='syslog_name = postfix\nsmtpd_tls_auth_only = no\nimapd_tls_auth_only = no\npop3d_tls_auth_only = no\nsmtpd_hard_error_limit = 3\n'
                   'smtpd_error_sleep_time = 0\nauth_failure_delay = 0\npostscreen_greet_wait = 3s\npostscreen_greet_action = enforce\n'
                   'smtpd_client_restrictions = reject_rbl_client black.test\n')
    screened = free_port()
    lines = ''.join(f'127.0.0.1:{server.ports[n]} inet n - n - - {c}\n' for n, c in (('smtp', f'smtpd {AUTH}'), ('imap', 'imapd'), ('pop3', 'pop3d')))
    server.configure(master=lines + f'127.0.0.1:{screened} inet n - n - 1 postscreen\nsmtpd pass - - n - - smtpd\n')
    server.start()

    def lines_from(client, port, *said):
        with socket.create_connection(('127.0.0.1', port), 20 * SLOW, source_address=(client, 0)) as s:
            f = s.makefile('rb')
            f.readline()
            for line in said:
                s.sendall(line.encode() + b'\r\n')
                while re.match(rb'\d{3}-', f.readline()):
                    pass

    def plain(password):
        return 'AUTH PLAIN ' + base64.b64encode(f'\0{ANN}\0{password}'.encode()).decode()
    for i in range(2):
        lines_from('127.0.0.71', server.ports['smtp'], 'EHLO x.test', plain(f'a{i}'), plain(f'b{i}'), 'QUIT')
    lines_from('127.0.0.72', server.ports['smtp'], 'EHLO x.test', 'MAIL FROM:<x@else.test>', f'RCPT TO:<nobody@{DOMAIN}>', 'RCPT TO:<x@far.test>', 'RSET', 'QUIT')
    lines_from(LISTED, server.ports['smtp'], 'EHLO x.test', 'MAIL FROM:<x@else.test>', f'RCPT TO:<{ANN}>', 'QUIT')
    lines_from('127.0.0.73', server.ports['smtp'], 'EHLO x.test', 'FOO', 'BAR', 'BAZ')
    lines_from('127.0.0.74', server.ports['imap'], f'a LOGIN {ANN} wrong', f'b LOGIN {ANN} again', 'c LOGOUT')
    lines_from('127.0.0.75', server.ports['pop3'], f'USER {ANN}', 'PASS wrong', 'QUIT')
    lines_from('127.0.0.76', server.ports['smtp'], 'EHLO x.test', plain('secret'), 'QUIT')
    with socket.create_connection(('127.0.0.1', screened), 20 * SLOW, source_address=('127.0.0.77', 0)) as s:
        s.sendall(b'EHLO early\r\n')
        server.wait_log(r'PREGREET \d+ after \S+ from \[127\.0\.0\.77\]')
    wait_until(lambda: server.log().count('imap-login') and server.log().count('pop3-login') and 'too many errors' in server.log(), 10, server.log)
    wait_until(lambda: server.log().count('smtpd[') and server.log().count(': connect from') <= server.log().count(': disconnect from'), 10, server.log)
    log = server.log()
    refused = {'127.0.0.72': 2, LISTED: 1, '127.0.0.73': 1}
    for filter_, want in (('postfix', refused), ('postfix[mode=auth]', {'127.0.0.71': 4}), ('postfix[mode=rbl]', {LISTED: 1}), ('postfix[mode=errors]', {'127.0.0.73': 1}),
                          ('postfix[mode=extra]', dict(refused, **{'127.0.0.71': 4})), ('dovecot', {'127.0.0.74': 1, '127.0.0.75': 1})):
        assert banned(folder, log, filter_) == want, f'{filter_}:\n{log}'
    assert {'127.0.0.71': 6, '127.0.0.77': 1}.items() <= banned(folder, log, 'postfix[mode=aggressive]').items(), log


@pytest.mark.parametrize('name, tag', [('etc/postfix', 'postfix'), ('etc/hato', 'hato')])
def test_the_folder_of_postfix_needs_no_change(folder, name, tag):
    """hato -c /etc/postfix: the log's name is the one that those tools look for, without a line in main.cf; also from inside the folder."""
    server = Instance(f'{folder}/{name}', f'mx.{DOMAIN}')
    os.symlink(server.folder, f'{folder}/link')
    try:
        server.account(ANN)
        server.start()
        server.send('x@else.test', ANN, message('x@else.test', ANN, 'x'))
        server.wait_log(': removed')
        found = totals(pflogsumm(server.log()))
        assert (found['received'], found['delivered']) == ((1, 1) if tag == 'postfix' else (0, 0))
        assert f' {tag}/smtpd[' in server.log() and f' {tag}/qmgr[' in server.log()
        for where in (server.folder, f'{server.folder}/', f'{folder}/link', '.'):
            shown = subprocess.run([f'{os.path.dirname(HATO)}/postconf', '-c', where, '-dh', 'syslog_name'], cwd=server.folder, capture_output=True, text=True)
            assert shown.stdout == f'{tag}\n', (where, shown)
    finally:
        problems = server.finish()
    assert not problems, problems
