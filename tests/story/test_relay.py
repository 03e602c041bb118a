# SPDX-License-Identifier: Apache-2.0
"""Mail that goes out: another server is found through DNS and gets it, later when it must be, or the sender is told why not."""
import email, re, smtplib, time
import pytest
import dnsd
from around import *

pytestmark = pytest.mark.root
ANN, BOB = 'ann@a.test', 'bob@b.test'
HASTE = 'minimal_backoff_time = 1s\nmaximal_backoff_time = 2s\nqueue_run_delay = 1s\nsmtp_connect_timeout = 5s\n'


class Pair:
    """A at mail.a.test, and an address for B at mx.b.test; both know the same nsd."""
    def __init__(self, hosts, dns):
        self.hosts, self.b_address = hosts, own_address()
        self.records = f'a.test MX 10 mail.a.test.\nmail.a.test A 127.0.0.1\nb.test MX 10 mx.b.test.\nmx.b.test A {self.b_address}\n'
        self.dns = dns(self.records)
        self.a = None

    def start_a(self, main=''):
        self.a = self.hosts('mail.a.test', HASTE + main, accounts=[ANN], dns=self.dns)
        return self.a

    def make_b(self, start=True, main=''):
        return self.hosts('mx.b.test', HASTE + main, accounts=[BOB], dns=self.dns, address=self.b_address, ports={'smtp': 25}, start=start)

    def send(self, to, subject='letter', body='hello\n', **more):
        """Ann submits; to one or several."""
        to = [to] if isinstance(to, str) else to
        self.a.send(ANN, to, message(ANN, ', '.join(to), subject, body), 'submission', ANN, **more)


@pytest.fixture
def pair(hosts, dns):
    return Pair(hosts, dns)


def queue_is_empty(instance):
    return not re.search(r'@', instance.hato('queue', 'list').stdout)


def check_report(report, to, status, action='failed', text=''):
    """RFC 3464: a multipart/report with a text, the per-recipient status and the original header, from nobody."""
    m, whole = report
    assert m['Return-Path'] == '<>' and m.get_param('report-type') == 'delivery-status'
    assert m['Auto-Submitted'] and m['Message-ID'] and m['Date']
    human, machine, original = m.get_payload()
    assert human.get_content_type() == 'text/plain' and machine.get_content_type() == 'message/delivery-status'
    assert original.get_content_type() in ('text/rfc822-headers', 'message/rfc822', 'message/rfc822-headers')
    assert 'letter' in original.as_string()
    per_message, per_recipient = machine.get_payload()[0], machine.get_payload()[1:]
    assert 'mail.a.test' in per_message['Reporting-MTA']
    mine = next(r for r in per_recipient if to in r['Final-Recipient'])
    assert mine['Action'] == action and re.match(status, mine['Status']), mine.as_string()
    assert to in human.get_payload() and text in whole, whole


@pytest.mark.core
def test_mx_delivery_under_tls(pair):
    b = pair.make_b()
    a = pair.start_a()
    pair.send(BOB)
    got = b.wait_message(BOB, 'letter')
    assert got['Return-Path'] == f'<{ANN}>' and 'ESMTPS' in got['Received']
    assert 'from mail.a.test' in got['Received']
    a.wait_log(r'status=sent \(250 2\.0\.0')
    wait_until(lambda: queue_is_empty(a), 10, 'an empty queue')


@pytest.mark.core
def test_b_is_down_and_returns(pair):
    b = pair.make_b(start=False)
    a = pair.start_a()
    pair.send(BOB)
    a.wait_log('status=deferred')
    assert BOB in a.hato('queue', 'list').stdout
    a.stop()  # the queue survives us, too
    a.start()
    assert BOB in a.hato('queue', 'list').stdout
    b.start()
    assert b.wait_message(BOB, 'letter')
    time.sleep(2)
    assert b.subjects(BOB) == ['letter']


BOUNCES = {  # what DNS knows about the domain: (records, address, status, what the report says)
    'no such domain': ('', 'x@nowhere.test', r'5\.[14]\.\d', ''),
    'null MX': ('null.test MX 0 .\n', 'x@null.test', r'5\.1\.10', ''),
    'no MX and no address': ('empty.test TXT "nothing"\n', 'x@empty.test', r'5\.[14]\.\d', ''),
    'MX without an address': ('lame.test MX 10 gone.test.\n', 'x@lame.test', r'5\.[14]\.\d', ''),
    'MX is ourselves': ('loop.test MX 10 mail.a.test.\n', 'x@loop.test', r'5\.4\.6', ''),
}


@pytest.mark.parametrize('case', BOUNCES)
def test_bounces_of_dns(pair, case):
    records, to, status, text = BOUNCES[case]
    pair.dns.change(pair.records + records)
    a = pair.start_a('maximal_queue_lifetime = 4s' if 'ourselves' in case or 'without' in case else '')
    pair.send(to)
    check_report(a.wait_bounce(ANN), to, status if 'ourselves' not in case else r'[45]\.\d\.\d', 'failed', text)
    wait_until(lambda: queue_is_empty(a), 10, 'an empty queue')


@pytest.mark.core
def test_unknown_user_there(pair):
    pair.make_b()
    a = pair.start_a()
    pair.send([BOB, 'nobody@b.test'])
    report = a.wait_bounce(ANN)
    check_report(report, 'nobody@b.test', r'5\.1\.1', text='550')
    assert not any(BOB in str(r.get('Final-Recipient')) for r in report[0].get_payload(1).get_payload())
    pair.a.wait_log(r'status=bounced')
    wait_until(lambda: queue_is_empty(a), 10, 'an empty queue')


def test_address_without_mx(pair, sink):
    address = own_address()
    pair.dns.change(pair.records + f'plain.test A {address}\n')
    there = sink(address=address, port=25)
    pair.start_a()
    pair.send('x@plain.test')
    wait_until(lambda: there.messages, 20, pair.a.log)


def test_next_mx_when_the_first_is_dead(pair, sink):
    dead, alive = own_address(), own_address()
    pair.dns.change(pair.records + f'two.test MX 5 one.two.test.\ntwo.test MX 10 two.two.test.\none.two.test A {dead}\ntwo.two.test A {alive}\n')
    there = sink(address=alive, port=25)
    pair.start_a()
    pair.send('x@two.test')
    wait_until(lambda: there.messages, 20, pair.a.log)
    assert len(there.messages) == 1


def test_no_bounce_of_a_bounce(pair):
    a = pair.start_a()
    a.send('', 'x@nowhere.test', message('', 'x@nowhere.test', 'from nobody'))
    a.send('x@elsewhere.test', 'x@nowhere.test', message('x@elsewhere.test', 'x@nowhere.test', 'from afar'))
    wait_until(lambda: queue_is_empty(a), 20, 'an empty queue')
    assert a.messages(ANN) == []


@pytest.fixture
def via(hosts, sink, folder):
    """make(**rules): a sink, and an instance that relays everything through it."""
    def make(main='', **rules):
        there = sink(**rules)
        a = hosts('mail.a.test', f'{HASTE}relayhost = [127.0.0.1]:{there.port}\n{main}', accounts=[ANN])
        a.relay = there
        return a, there
    return make


def submit(a, to, subject='letter', body='hello\n', options=()):
    a.send(ANN, to, message(ANN, str(to), subject, body), 'submission', ANN, options=options)


@pytest.mark.core
def test_greylisted_then_taken(via):
    a, there = via(greylist=1)
    submit(a, 'x@far.test')
    wait_until(lambda: there.messages, 20, a.log)
    assert '451 4.7.1 greylisted' in a.log() and len(there.messages) == 1


def test_refused_at_rcpt(via):
    a, there = via(replies={'RCPT TO:<bad@far.test>': '550 5.7.1 not you'})
    submit(a, ['good@far.test', 'bad@far.test'])
    check_report(a.wait_bounce(ANN), 'bad@far.test', r'5\.7\.1', text='not you')
    assert [m[1] for m in there.messages] == [['good@far.test']]


def test_refused_after_the_text(via):
    a, there = via(replies={'.': '554 5.6.0 smells'})
    submit(a, 'x@far.test')
    check_report(a.wait_bounce(ANN), 'x@far.test', r'5\.6\.0', text='smells')


def test_cut_in_the_middle(via):
    a, there = via(drop_data=2)
    submit(a, 'x@far.test', body=noise(20000, 1))
    wait_until(lambda: there.messages, 30, a.log)
    time.sleep(3)
    assert len(there.messages) == 1 and there.messages[0][2].endswith(noise(20000, 1).encode())


def test_cut_instead_of_the_250(via):
    """The one window in which a message may arrive twice: the other side took it, and we were not told."""
    a, there = via(drop_dot=1)
    submit(a, 'x@far.test')
    wait_until(lambda: len(there.messages) == 2, 30, a.log)
    time.sleep(3)
    assert len(there.messages) == 2


def test_421_then_better(via):
    a, there = via(banner='421 4.3.2 too busy')
    submit(a, 'x@far.test')
    a.wait_log('421 4.3.2 too busy')
    there.rules['banner'] = '220 sink.test ESMTP'
    wait_until(lambda: there.messages, 20, a.log)


def test_dots_and_long_lines_arrive_as_they_were(via):
    a, there = via()
    body = '.\r\n..\r\n.x\r\n' + 'y' * 900 + '\r\nü\r\n'
    with a.smtp('submission', ANN) as s:
        s.sendmail(ANN, ['x@far.test'], message(ANN, 'x@far.test', 'letter', body).encode(), mail_options=['BODY=8BITMIME'])
    wait_until(lambda: there.messages, 20, a.log)
    assert there.messages[0][2].endswith(b'\r\n\r\n' + body.encode())


def test_tls_offered_and_broken(via, folder):
    a, there = via(folder=folder, tls_breaks=True, extensions=['PIPELINING', 'STARTTLS'])
    submit(a, 'x@far.test')
    wait_until(lambda: there.messages, 30, a.log)
    assert there.encrypted == 0


def test_tls_used_when_offered(via, folder):
    a, there = via(folder=folder, extensions=['PIPELINING', 'STARTTLS'])
    submit(a, 'x@far.test')
    wait_until(lambda: there.messages, 30, a.log)
    assert there.encrypted == 1


def test_old_server_knows_only_helo(via):
    a, there = via(replies={'EHLO': '502 5.5.1 what?'})
    submit(a, 'x@far.test')
    wait_until(lambda: there.messages, 20, a.log)
    assert any(c.startswith('HELO mail.a.test') for c in there.commands)


def test_connections_are_reused_and_few(via):
    a, there = via(delay=0.01)
    with a.smtp('submission', ANN) as s:
        for n in range(60):
            s.sendmail(ANN, ['x@far.test'], message(ANN, 'x@far.test', f'letter {n}'))
    wait_until(lambda: len(there.messages) == 60, 60, a.log)
    assert there.most <= 20 and there.connections < 60


def test_a_copy_names_its_own_alias_only(via):
    a, there = via()
    for name in ('open', 'secret'):
        a.hato('alias', 'add', f'{name}@a.test', f'{name}-far@far.test')
    submit(a, ['open@a.test', 'secret@a.test', 'direct@far.test'])
    wait_until(lambda: sum(len(m[1]) for m in there.messages) == 3, 20, a.log)
    named = {to: [l for l in text.split(b'\r\n\r\n')[0].split(b'\r\n') if l.lower().startswith(b'delivered-to:')]
             for _, recipients, text in there.messages for to in recipients}
    assert named == {'open-far@far.test': [b'Delivered-To: open@a.test'], 'secret-far@far.test': [b'Delivered-To: secret@a.test'],
                     'direct@far.test': []}
    wait_until(lambda: queue_is_empty(a), 10, 'an empty queue')


def test_one_copy_for_many_recipients(via):
    a, there = via()
    submit(a, [f'u{n}@far.test' for n in range(20)])
    wait_until(lambda: sum(len(m[1]) for m in there.messages) == 20, 20, a.log)
    assert len(there.messages) == 1


def test_relayhost_with_a_password(via):
    a, there = via('smtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = static:relayuser:relaysecret\nsmtp_sasl_security_options =',
                   extensions=['AUTH PLAIN LOGIN'], replies={'AUTH': '235 2.7.0 welcome'})
    submit(a, 'x@far.test')
    wait_until(lambda: there.messages, 20, a.log)
    assert any(c.startswith('AUTH PLAIN ') for c in there.commands)


def test_late_and_never(via):
    a, there = via('delay_warning_time = 2s\nmaximal_queue_lifetime = 6s\nbounce_queue_lifetime = 6s', banner='421 4.3.2 too busy')
    submit(a, 'x@far.test')
    delayed = lambda action: a.wait_message(ANN, lambda m: f'Action: {action}' in m.as_string(), 30)
    report = delayed('delayed')
    check_report((report, report.as_string()), 'x@far.test', r'4\.', 'delayed')
    report = delayed('failed')
    check_report((report, report.as_string()), 'x@far.test', r'[45]\.', 'failed', text='421 4.3.2 too busy')
    wait_until(lambda: queue_is_empty(a), 10, 'an empty queue')


def test_the_postmaster_hears_of_delays(via):
    a, there = via('delay_warning_time = 1s\nnotify_classes = delay\ndelay_notice_recipient = late@a.test', banner='421 4.3.2 too busy')
    a.account('late@a.test')
    submit(a, 'x@far.test')
    copy = a.wait_message('late@a.test', lambda m: 'Action: delayed' in m.as_string(), 30)
    assert 'late@a.test' in copy['To'] and 'x@far.test' in copy.as_string()


def test_a_delay_that_is_over(via):
    a, there = via('delay_warning_time = 1s\nconfirm_delay_cleared = yes\nenable_threaded_bounces = yes', banner='421 4.3.2 too busy')
    submit(a, 'x@far.test')
    a.wait_message(ANN, lambda m: 'Action: delayed' in m.as_string(), 30)
    there.rules['banner'] = '220 sink.test ESMTP'
    report = a.wait_message(ANN, lambda m: 'Action: relayed' in m.as_string(), 30)
    wait_until(lambda: there.messages, 10, a.log)
    original = email.message_from_bytes(there.messages[0][2])['Message-ID']
    assert original and report['In-Reply-To'] == original and report['References'] == original


def test_dsn_wishes(via):
    a, there = via(replies={'RCPT TO:<bad@far.test>': '550 5.1.1 no'})
    with a.smtp('submission', ANN) as s:
        s.ehlo()
        s.sendmail(ANN, ['bad@far.test'], message(ANN, 'bad@far.test', 'silent'), rcpt_options=['NOTIFY=NEVER'])
        s.sendmail(ANN, ['ann@a.test'], message(ANN, ANN, 'letter told'), rcpt_options=['NOTIFY=SUCCESS'], mail_options=['ENVID=abc', 'RET=HDRS'])
    report = a.wait_message(ANN, lambda m: 'Action: delivered' in m.as_string() or 'Action: relayed' in m.as_string())
    assert 'Original-Envelope-Id: abc' in report.as_string()
    assert 'Subject: letter told' in report.get_payload()[2].as_string()
    wait_until(lambda: queue_is_empty(a), 10, 'an empty queue')
    assert not any('bad@far.test' in m.as_string() and m.get_content_type() == 'multipart/report' for m in a.messages(ANN))


def test_a_dead_destination_rests(hosts):
    """As in SCHEDULER_README: after a round of failures nobody is sent there for minimal_backoff_time, unless an operator wants it."""
    port = free_port()
    a = hosts('mail.a.test', f'relayhost = [127.0.0.1]:{port}\ninitial_destination_concurrency = 2\nsmtp_tls_security_level = none\n', accounts=[ANN])
    send = lambda n: a.send(ANN, f'x{n}@far.test', message(ANN, f'x{n}@far.test', f'letter {n}'))
    refused = rf'status=deferred \(connect to 127\.0\.0\.1\[127\.0\.0\.1\]:{port}: Connection refused\)'
    suspended = rf'status=deferred \(delivery temporarily suspended: connect to 127\.0\.0\.1\[127\.0\.0\.1\]:{port}: Connection refused\)'
    send(1)
    a.wait_log(rf'to=<x1@far\.test>, .*{refused}')
    send(2)  # one failure of two, and nobody was on the way any more: it is tried
    a.wait_log(rf'to=<x2@far\.test>, .*{refused}')
    a.configure(a.extra_main + 'default_destination_concurrency_failed_cohort_limit = 1\ninitial_destination_concurrency = 1\n')
    a.hato('reload')
    a.wait_log('reload')
    time.sleep(1)
    send(3)
    a.wait_log(rf'to=<x3@far\.test>, .*{refused}')
    send(4)
    line = a.wait_log(rf'to=<x4@far\.test>, relay=none, .*dsn=4\.4\.1, {suspended}')
    assert line
    a.hato('queue', 'flush')  # an operator sees it tried
    wait_until(lambda: len(re.findall(rf'to=<x\d@far\.test>, .*{refused}', a.log())) >= 4, 20, a.log)
    a.configure(a.extra_main + 'default_destination_concurrency_failed_cohort_limit = 0\n')
    a.hato('reload')
    wait_until(lambda: a.log().count('reload') >= 2, 20, a.log)
    time.sleep(1)
    for n in (5, 6):
        send(n)
        a.wait_log(rf'to=<x{n}@far\.test>, .*{refused}')


def test_a_destination_that_turns_everybody_away_rests(via):
    """421 instead of a greeting counts as a failure of the destination, not of the message."""
    a, there = via('default_destination_concurrency_failed_cohort_limit = 1\ninitial_destination_concurrency = 1\nminimal_backoff_time = 300s\nmaximal_backoff_time = 400s\n',
                   banner='421 4.3.2 come again')
    for n in (1, 2):
        a.send(ANN, f'x{n}@far.test', message(ANN, f'x{n}@far.test', f'letter {n}'))
        a.wait_log(rf'to=<x{n}@far\.test>, .*status=deferred')
    assert re.search(r'to=<x2@far\.test>, relay=none, .*delivery temporarily suspended: host .* refused to talk to me: 421', a.log())
    assert there.connections == 1


@pytest.mark.parametrize('gain, least, most', [('0', 1, 2), ('1', 4, 20), ('1/1000', 1, 2)])
def test_success_opens_the_window(via, gain, least, most):
    """<transport>_destination_concurrency_positive_feedback: how much each delivery that gets through adds to how many go at one time.
    A connection may still be at its QUIT when the next begins."""
    a, there = via(f'smtp_initial_destination_concurrency = 1\nsmtp_destination_concurrency_positive_feedback = {gain}\n'
                   'smtp_connection_cache_on_demand = no\n', delay=0.05 * SLOW)
    with a.smtp('submission', ANN) as s:
        s.ehlo()
        for n in range(20):
            s.sendmail(ANN, [f'x{n}@far.test'], message(ANN, f'x{n}@far.test', 'letter'))
    wait_until(lambda: len(there.messages) == 20, 60, lambda: f'{len(there.messages)} of 20\n{a.log()[-1000:]}')
    assert least <= there.most <= most, there.most


@pytest.mark.parametrize('limit', ['default_process_limit', 'qmgr_message_active_limit'])
def test_deliveries_at_one_time(via, limit):
    """Fewer than a destination may have (test_success_opens_the_window); a connection may still be at its QUIT when the next begins."""
    a, there = via(f'{limit} = 2\ninitial_destination_concurrency = 20\nsmtp_connection_cache_on_demand = no\n', delay=0.05 * SLOW)
    with a.smtp('submission', ANN) as s:
        s.ehlo()
        for n in range(20):
            s.sendmail(ANN, [f'x{n}@far.test'], message(ANN, f'x{n}@far.test', 'letter'))
    wait_until(lambda: len(there.messages) == 20, 60, lambda: f'{len(there.messages)} of 20\n{a.log()[-1000:]}')
    assert there.most <= 4, there.most


def test_recipients_of_one_delivery(via):
    a, there = via('qmgr_message_recipient_limit = 2')
    submit(a, [f'x{n}@far.test' for n in range(5)])
    wait_until(lambda: sum(len(m[1]) for m in there.messages) == 5, 30, a.log)
    assert sorted(len(m[1]) for m in there.messages) == [1, 2, 2]


def test_stop_does_not_wait_for_dns(hosts, dns):
    """A resolver that is there, but never answers what it is asked, holds up the end for a moment only. That was no try: the next start
    makes it at once, whatever the back-off."""
    slow = dnsd.Dnsd(lambda name, kind: dnsd.TIMEOUT if len(name) > 1 else None)
    address = own_address()
    a = hosts('mail.a.test', f'dns_resolvers = {slow.address}:{slow.port}\n', accounts=[ANN])
    a.send(ANN, [BOB], message(ANN, BOB, 'letter', 'hello\n'), 'submission', ANN)
    wait_until(lambda: any(name.labels[0].lower() == b'b' for name, _ in slow.asked), 20, 'relay to ask for the destination')
    began = time.monotonic()
    a.stop()
    assert time.monotonic() - began < 10 * SLOW
    assert 'not tried, as the server ends' in a.log() and 'status=deferred' not in a.log()
    assert BOB in a.hato('queue', 'list').stdout
    slow.stop()
    known = dns(f'b.test MX 10 mx.b.test.\nmx.b.test A {address}\n')
    b = hosts('mx.b.test', accounts=[BOB], dns=known, address=address, ports={'smtp': 25})
    a.configure(f'dns_resolvers = {known.address}:{known.port}\n')
    a.start()
    b.wait_message(BOB, 'letter')


@pytest.mark.parametrize('options, delivered', [('', False), ('res_defnames', True), ('res_dnsrch', True)])
def test_short_names_of_servers(hosts, dns, folder, sink, options, delivered):
    """smtp_dns_resolver_options: relayhost = [hub] is hub.corp.test where /etc/resolv.conf says so."""
    with open(f'{folder}/resolv.conf', 'w') as f:
        f.write('search corp.test deep.test\nnameserver 127.0.0.1\n')
    a = hosts('mail.a.test', f'{HASTE}relayhost = [hub]:{sink().port}\nsmtp_dns_resolver_options = {options}\n', dns=dns('hub.corp.test A 127.0.0.1\n'), start=False)
    a.prefix = ['unshare', '-m', 'sh', '-c', f'mount --bind {folder}/resolv.conf /etc/resolv.conf && exec "$@"', 'sh']
    a.start()
    a.account(ANN)
    a.send(ANN, 'x@far.test', message(ANN, 'x@far.test', 'by a short name', 'x\n'), 'submission', ANN)
    if delivered:
        a.wait_log(r'relay=hub\.corp\.test\[127\.0\.0\.1\].*status=sent')
    else:
        a.wait_log(r'name=hub type=A+: Host not found')
