# SPDX-License-Identifier: Apache-2.0
"""What a policy server is told, attribute by attribute, at each stage, by Debian's smtpd and by hato; and what each makes of its answer."""
import concurrent.futures, re, socketserver, ssl, threading, time
import pytest
import postfix as postfix_
from around import *
from twins import NAMES, STRANGER, INSIDE, HOST, Talk, Twins, Suite, normal

STAGES = ('client', 'helo', 'sender', 'relay', 'recipient', 'data', 'end_of_data', 'etrn')
OWN = {'instance', 'queue_id', 'client_port', 'server_port', 'server_address'}  # each one's own
LATER = {'mail_version', 'compatibility_level'}  # Postfix sends them from 3.8 on
# to the recipient list, by the local part of the sender
ANSWERS = {'ok': 'OK', 'permit': 'permit', 'dunno': 'DUNNO', 'reject': 'REJECT', 'reject_text': 'REJECT go away', 'enhanced': 'REJECT 5.7.77 own code',
           'code': '550 5.2.1 closed', 'four': '450 4.2.1 busy', 'defer': 'DEFER', 'defer_text': 'defer wait a bit', 'dip': 'DEFER_IF_PERMIT greylisted, see http://x/$y',
           'dir': 'DEFER_IF_REJECT slow', 'warn': 'WARN seen', 'info': 'INFO seen', 'prepend': 'PREPEND X-Policy: seen', 'restriction': 'reject_non_fqdn_recipient, reject',
           'class': 'strict', 'unknown': 'no_such_action', 'empty': '', 'lower': 'reject  two  blanks', '521': '521 5.7.1 bye', 'hangup': '421 4.7.0 later'}
pytestmark = [pytest.mark.root, postfix_.to_the_letter]


class Policy(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True

    def __init__(self):
        self.requests = []
        super().__init__(('127.0.0.1', 0), self.Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            lines = []
            for line in self.rfile:
                if line != b'\n':
                    lines.append(line.decode().rstrip('\n'))
                    continue
                pairs = [l.split('=', 1) for l in lines]
                self.server.requests.append(pairs)
                request, lines = dict(pairs), []
                action = ANSWERS.get(request['sender'].partition('@')[0], 'DUNNO') if request['policy_context'] == 'recipient' else 'DUNNO'
                self.wfile.write(f'action={action}\n\n'.encode())


def walk(address, port, crt, key):
    """One client's day: plain and with TLS, logged in, several recipients, ETRN, VRFY."""
    got = []

    def talk(lines, client=STRANGER):
        with Talk(address, port, client) as t:
            for line in lines:
                if line == 'TLS':
                    got.append(normal(t.say('STARTTLS')))
                    context = ssl._create_unverified_context()
                    context.maximum_version = ssl.TLSVersion.TLSv1_2
                    context.set_ciphers('ECDHE-ECDSA-AES256-GCM-SHA384')
                    context.load_cert_chain(crt, key)
                    t.socket = context.wrap_socket(t.socket)
                    t.file = t.socket.makefile('rb')
                elif line == 'TEXT':
                    t.raw('Subject: x\r\n\r\ntext\r\n.\r\n')
                    got.append(normal(t.reply()))
                else:
                    got.append(normal(t.say(line)))
                if got[-1].startswith(('421', '521')):
                    return
    mail = ['MAIL FROM:<x@good.test> SIZE=1000', 'RCPT TO:<ann@local.test>']
    talk(['EHLO client.test', *mail, 'RCPT TO:<Bob+tag@local.test>', 'DATA', 'TEXT', 'RSET', *mail, 'QUIT'])
    talk(['HELO client.test', 'MAIL FROM:<>', *mail[1:], 'DATA', 'TEXT', 'QUIT'])
    talk(['MAIL FROM:<x@good.test>', 'RCPT TO:<ann@local.test>', 'QUIT'], client='127.0.0.67')
    talk(['EHLO client.test', 'ETRN good.test', 'VRFY ann@local.test', 'QUIT'], client='127.0.0.69')
    talk(['EHLO client.test', 'TLS', 'EHLO client.test', *mail, 'DATA', 'TEXT', 'QUIT'], client=INSIDE)
    talk(['EHLO client.test', 'XCLIENT NAME=spike.test ADDR=192.0.2.7 PORT=4711 REVERSE_NAME=other.test DESTADDR=198.51.100.9 DESTPORT=587 LOGIN=ann HELO=said.test PROTO=ESMTP',
          'EHLO client.test', 'MAIL FROM:<x@good.test> AUTH=carl@good.test', *mail[1:], 'QUIT'], client=INSIDE)
    talk(['EHLO client.test', 'MAIL FROM:<"two words"@good.test> BODY=8BITMIME', 'RCPT TO:<"a b"@local.test>', 'RCPT TO:<info@alias.test>', 'RCPT TO:<far@far.test>', 'QUIT'])
    for name in ANSWERS:
        talk(['EHLO client.test', f'MAIL FROM:<{name}@good.test>', 'RCPT TO:<ann@local.test>', 'RCPT TO:<short@local.test>'])
    return got


def test_every_attribute_at_each_stage(tmp_path):
    crt, key = make_certificate(tmp_path, 'client', 'client.test')
    suite = Suite('/dev/null')
    suite.name = 'policy'
    servers = [Policy(), Policy()]
    suite.main = f'''smtpd_sasl_auth_enable = yes
smtpd_authorized_xclient_hosts = {INSIDE}
smtpd_tls_ask_ccert = yes
smtpd_tls_fingerprint_digest = sha256
smtpd_delay_reject = no
smtpd_restriction_classes = strict
strict = reject_unknown_sender_domain, reject
local_recipient_maps = static:x
fast_flush_domains = good.test
'''
    for stage in STAGES:
        suite.main += f'smtpd_{stage}_restrictions = {"permit_mynetworks, " * (stage == "relay")}check_policy_service {{ inet:127.0.0.1:@POLICY@, policy_context={stage} }}' \
                      f'{", reject_unauth_destination" * (stage == "relay")}\n'
    twins = Twins(tmp_path, suite)
    text = twins.text

    def with_policy(t, port, folder):
        return text(t, port, folder).replace('@POLICY@', str(servers[folder.endswith('/p')].server_address[1]))
    twins.text = with_policy
    try:
        twins.start()
        for s in servers:
            s.requests.clear()  # of whoever asked whether it was there
        ours = walk(twins.hato.address, twins.hato.ports['smtp'], crt, key)
        theirs = walk(twins.postfix.address, twins.postfix.port, crt, key)
    finally:
        problems = twins.stop()
        for s in servers:
            s.shutdown()
            s.server_close()
    ours, theirs = ([re.sub('250-AUTH.*\n', '', r) for r in side] for side in (ours, theirs))  # each one's own ways to log in
    report = [f'{n}: hato {a!r}, Postfix {b!r}' for n, (a, b) in enumerate(zip(ours, theirs)) if a != b]
    for n, (a, b) in enumerate(zip(servers[0].requests, servers[1].requests)):
        names = [k for k, _ in a if k not in LATER], [k for k, _ in b]
        if names[0] != names[1]:
            report.append(f'request {n}: attributes {sorted(set(names[0]) ^ set(names[1]))}, order {names}')
        a, b = dict(a), dict(b)
        if b['encryption_protocol'] and b['protocol_state'] == 'EHLO':
            b['protocol_name'] = 'SMTP'  # difference 32
        what = f'request {n} ({b["policy_context"]}, {b["protocol_state"]}, {b["sender"]})'
        report += [f'{what}: {k}: hato {a.get(k)!r}, Postfix {b[k]!r}' for k in b if k not in OWN and a.get(k) != b[k]]
        report += [f'{what}: {k}: hato {a.get(k)!r}, Postfix {b[k]!r}' for k in OWN & set(b) if bool(a.get(k)) != bool(b[k])]
    if len(servers[0].requests) != len(servers[1].requests):
        report.append(f'{len(servers[0].requests)} requests of hato, {len(servers[1].requests)} of Postfix: '
                      + repr([[(dict(r)['policy_context'], dict(r)['protocol_state'], dict(r)['sender']) for r in s.requests] for s in servers]))
    assert len(servers[1].requests) > 100 and len({dict(r)['policy_context'] for r in servers[1].requests}) == len(STAGES)
    assert not report, '\n' + '\n'.join(report[:60])
    assert not problems, '\n'.join(problems)


class Slow(Policy):
    """Answers DUNNO, but not to whoever is named slow@; counts connections. It is told which context and when."""
    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            lines = []
            self.server.connections = getattr(self.server, 'connections', 0) + 1
            number = self.server.connections
            for line in self.rfile:
                if line != b'\n':
                    lines.append(line.decode().rstrip('\n'))
                    continue
                request, lines = dict(l.split('=', 1) for l in lines), []
                self.server.requests.append((request['recipient'], request['policy_context'], number))
                if request['recipient'].startswith('slow'):
                    self.rfile.read()  # until the other side goes
                    return
                self.wfile.write(b'action=DUNNO\n\n')


# options of a listener; {port} is the policy server's, {none} nobody's
POLICY = {
    'plain': '',
    'context': 'smtpd_policy_service_policy_context=some words',
    'timeout': 'smtpd_policy_service_timeout=1s ;; smtpd_policy_service_retry_delay=1s',
    'action': 'smtpd_policy_service_timeout=1s ;; smtpd_policy_service_retry_delay=1s ;; smtpd_policy_service_default_action=450 4.7.9 not judged now',
    'dunno': 'smtpd_policy_service_timeout=1s ;; smtpd_policy_service_retry_delay=1s ;; smtpd_policy_service_default_action=DUNNO',
    'absent': 'smtpd_policy_service_try_limit=1 ;; smtpd_policy_service_retry_delay=1s',
    'absentdunno': 'smtpd_policy_service_try_limit=1 ;; smtpd_policy_service_retry_delay=1s ;; smtpd_policy_service_default_action=DUNNO',
    'requests': 'smtpd_policy_service_request_limit=1',
    'idle': 'smtpd_policy_service_max_idle=1s',
    'ttl': 'smtpd_policy_service_max_ttl=1s',
}


def ask(address, port, name):
    """What a client hears to three recipients, with a pause before the last."""
    with Talk(address, port, '127.0.0.1', seconds=60) as t:
        said = [normal(t.say(l)) for l in ('EHLO client.test', 'MAIL FROM:<x@good.test>')][1:]
        who = 'slow' if name in ('timeout', 'action', 'dunno') else 'ann'
        said += [normal(t.say(f'RCPT TO:<{who}@local.test>')) for _ in range(2 - (who == 'slow'))]
        if name in ('idle', 'ttl'):
            time.sleep(3)
        return [*said, normal(t.say('RCPT TO:<bob@local.test>')), normal(t.say('QUIT'))]


def test_how_policy_servers_are_asked(hosts, folder):
    got = {}
    for side in 'hato', 'postfix':
        server = {n: Slow() for n in POLICY}
        port = {n: server[n].server_address[1] if not n.startswith('absent') else free_port() for n in POLICY}
        listen = {n: free_port() for n in POLICY}
        main = ('mydestination = local.test\nlocal_recipient_maps = static:x\nalias_maps =\nalias_database =\nvirtual_mailbox_domains =\nsmtpd_error_sleep_time = 0\n'
                'smtpd_relay_restrictions = reject_unauth_destination\nsmtpd_peername_lookup = no\n')
        master = ''.join(f'127.0.0.1:{listen[n]} inet n - n - - smtpd ' + ' '.join(
            '-o { %s }' % o for o in [*filter(None, options.split(' ;; ')), f'smtpd_recipient_restrictions=check_policy_service inet:127.0.0.1:{port[n]}']) + '\n'
            for n, options in POLICY.items())
        if side == 'hato':
            one = hosts(HOST, f'compatibility_level = 3.6\n{main}', services={'smtp': 'smtpd'}, start=False)
            path = one.folder + '/master.cf'
        else:
            one = postfix_.Postfix(f'{folder}/postfix', 'twin.test', port=free_port(), tls=False, main=f'myhostname = {HOST}\n{main}')
            path = one.folder + '/etc/master.cf'
        with open(path, 'a') as f:
            f.write(master)
        one.start()
        try:
            with concurrent.futures.ThreadPoolExecutor(len(POLICY)) as pool:
                jobs = {n: pool.submit(ask, '127.0.0.1', listen[n], n) for n in POLICY}
                for n, job in jobs.items():
                    said = job.result()
                    got[side, n] = said, list(server[n].requests)
        finally:
            one.stop()
            for s in server.values():
                s.shutdown()
                s.server_close()
    for n in 'idle', 'ttl':  # Postfix looks at the clock between two clients only
        assert [number for *_, number in got['hato', n][1]] == [1, 1, 2]
        got['hato', n], got['postfix', n] = got['hato', n][0], got['postfix', n][0]
    report = [f'{n}: hato {got["hato", n]}\n     Postfix {got["postfix", n]}' for n in POLICY if got['hato', n] != got['postfix', n]]
    assert not report, '\n'.join(report)
    assert [number for *_, number in got['hato', 'requests'][1]] == [1, 2, 3]
