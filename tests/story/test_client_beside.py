# SPDX-License-Identifier: Apache-2.0
"""smtp(8) and lmtp(8) beside Debian's: a way out in master.cf for each wish, the same for both, each to a server of its own that says what
the case says. Commands, text, and the line of the delivery in the log must be the same, for smtp_… and for its lmtp_… twin."""
import email, re, smtplib, socket, threading, time
import pytest
import dns.rdata
import dnsd, postfix as postfix_
from around import *

pytestmark = pytest.mark.root
HOST = 'mail.twin.test'
NAMES = {'smtp_helo_name': 'lmtp_lhlo_name', 'smtp_helo_timeout': 'lmtp_lhlo_timeout', 'smtp_discard_ehlo_keywords': 'lmtp_discard_lhlo_keywords',
         'smtp_discard_ehlo_keyword_address_maps': 'lmtp_discard_lhlo_keyword_address_maps'}
OFFERS = 'PIPELINING', 'SIZE 50000000', '8BITMIME', 'ENHANCEDSTATUSCODES'
LOGIN = 'smtp_sasl_auth_enable=yes; smtp_sasl_password_maps=static:ann:s3cret; smtp_sasl_security_options='
HANG, CLOSE, DRIP, STUCK = '(hang)', '(close)', '(drip)', '(stuck)'
LARGE = 8000000  # more than the buffers of a connection on this machine hold


class Case:
    def __init__(self, name, options='', to='x', only=None, differs=None, offers=OFFERS, banner='220 sink.test ESMTP', text=False, full=False,
                 size=0, where='[127.0.0.1]:{port}', **replies):
        self.name, self.options, self.to, self.only, self.offers, self.banner, self.replies = name, options, to, only, offers, banner, replies
        self.text, self.differs = text, differs  # number of doc/postfix-differences.md
        self.full, self.size, self.where = full, size, where  # nobody is let in; bytes of text; the next hop


CASES = [
    Case('plain', text=True),
    Case('noehlo', 'smtp_always_send_ehlo=no', only='smtp', banner='220 sink.test at your service'),
    Case('ehloasked', 'smtp_always_send_ehlo=no', only='smtp', banner='220 sink.test esmtp'),
    Case('never', 'smtp_never_send_ehlo=yes', only='smtp'),
    Case('ehlorefused', only='smtp', EHLO='502 5.5.1 what?'),
    Case('ehlotwice', EHLO='502 5.5.1 what?', LHLO='502 5.5.1 what?', HELO='550 5.7.1 go away'),
    Case('named', 'smtp_helo_name=own.test'),
    Case('shortlines', 'smtp_line_length_limit=100', text=True),
    Case('anylines', 'smtp_line_length_limit=0', text=True),
    Case('quoted', to='"a b"'),
    Case('unquoted', 'smtp_quote_rfc821_envelope=no', to='"a b"'),
    Case('greeted', 'smtp_skip_5xx_greeting=no', banner='554 5.7.1 no mail here'),
    Case('greeted5', banner='554 5.7.1 no mail here'),
    Case('greeted4', banner='421 4.7.0 too busy'),
    Case('silent', 'smtp_discard_ehlo_keywords=pipelining,size'),
    Case('no8bit', differs='C6', offers=('PIPELINING', 'SIZE 50000000')),
    Case('silentfor', 'smtp_discard_ehlo_keyword_address_maps=inline:{127.0.0.1=pipelining}'),
    Case('xforward', 'smtp_send_xforward_command=yes', differs='C8', offers=(*OFFERS, 'XFORWARD NAME ADDR PROTO HELO SOURCE')),
    Case('xforwardslow', 'smtp_send_xforward_command=yes; smtp_xforward_timeout=1s', offers=(*OFFERS, 'XFORWARD NAME ADDR'), XFORWARD=HANG),
    Case('login', LOGIN, offers=(*OFFERS, 'AUTH PLAIN LOGIN'), AUTH='235 2.7.0 welcome'),
    Case('loginnoplain', LOGIN + 'noplaintext', offers=(*OFFERS, 'AUTH PLAIN LOGIN')),
    Case('loginnotoffered', LOGIN),
    Case('loginfiltered', LOGIN + '; smtp_sasl_mechanism_filter=login', offers=(*OFFERS, 'AUTH PLAIN LOGIN'), AUTH='535 5.7.8 wrong'),
    Case('loginrefused', LOGIN, offers=(*OFFERS, 'AUTH PLAIN'), AUTH='535 5.7.8 wrong'),
    Case('loginhard', LOGIN + '; smtp_sasl_auth_soft_bounce=no', offers=(*OFFERS, 'AUTH PLAIN'), AUTH='535 5.7.8 wrong'),
    Case('loginlater', LOGIN, offers=(*OFFERS, 'AUTH PLAIN'), AUTH='454 4.7.0 not now'),
    Case('dummyauth', LOGIN + '; smtp_send_dummy_mail_auth=yes', offers=(*OFFERS, 'AUTH PLAIN'), AUTH='235 2.7.0 welcome'),
    Case('bysender', only='smtp', options=LOGIN.replace('static:ann:s3cret', 'inline:{x@good.test=bob:hers}') + '; smtp_sender_dependent_authentication=yes',
         offers=(*OFFERS, 'AUTH PLAIN'), AUTH='235 2.7.0 welcome'),
    Case('hello1', 'smtp_helo_timeout=1s', EHLO=HANG, LHLO=HANG),
    Case('mail1', 'smtp_mail_timeout=1s', MAIL=HANG),
    Case('rcpt1', 'smtp_rcpt_timeout=1s', offers=(), RCPT=HANG),
    Case('data1', 'smtp_data_init_timeout=1s', offers=(), DATA=HANG),
    Case('done1', 'smtp_data_done_timeout=1s', DOT=HANG),
    Case('quit1', 'smtp_skip_quit_response=no; smtp_quit_timeout=1s', QUIT=HANG),
    Case('noquit', 'smtp_skip_quit_response=no', QUIT=CLOSE),
    Case('many', 'smtp_mx_session_limit=1; smtp_mx_address_limit=1; smtp_randomize_addresses=no'),
    Case('unencrypted', 'smtp_tls_security_level=none; smtp_tls_note_starttls_offer=yes', offers=(*OFFERS, 'STARTTLS')),
    Case('gone', MAIL=CLOSE),
    Case('gonerc', offers=(), RCPT=CLOSE),
    Case('gonedot', DOT=CLOSE),
    Case('mail4', MAIL='451 4.3.0 later'),
    Case('mail5', MAIL='550 5.7.1 not you'),
    Case('rcpt4', RCPT='450 4.2.0 later'),
    Case('rcpt5', RCPT='550 5.1.1 nobody'),
    Case('rcpt552', differs='C7', RCPT='552 5.5.3 too many'),
    Case('rcptbare', RCPT='550 nobody', offers=('PIPELINING',)),
    Case('dataone', DATA='451 4.3.0 later'),
    Case('datano', DATA='554 5.7.1 no'),
    Case('dot4', DOT='452 4.3.1 full'),
    Case('dot5', DOT='550 5.7.1 spam'),
    Case('odd', RCPT='299 odd'),
    Case('small', offers=('SIZE 100',)),
    Case('resetwait', 'smtp_skip_quit_response=no'),
    Case('header', 'smtp_header_checks=regexp:{{/^X-Drop:/ IGNORE}, {/^X-Change:/ REPLACE X-Changed: yes}, {/^Subject/ PREPEND X-Before: yes}}', text=True),
    Case('mimeheader', 'smtp_mime_header_checks=regexp:{{/^Content-Type: text.plain/ REPLACE Content-Type: text/other}}', text=True),
    Case('nestedheader', 'smtp_nested_header_checks=regexp:{{/^Subject: inner/ REPLACE Subject: changed}}', text=True),
    Case('body', 'smtp_body_checks=regexp:{{/^line/ REPLACE other}}', text=True),
    Case('generic', 'smtp_generic_maps=inline:{x@good.test=y@outer.test, @generic.test=z@to.test}', text=True),
    Case('replies', 'smtp_reply_filter=regexp:{{/^450 4.2.0(.*)/ 550 5.9.9$$1}}', RCPT='450 4.2.0 changed'),
    Case('statuses', 'smtp_delivery_status_filter=regexp:{{/^5.1.1(.*)/ 4.9.9 changed$$1}}', RCPT='550 5.1.1 nobody'),
    Case('bound', 'smtp_bind_address=127.0.0.9'),
    Case('encrypt', 'smtp_tls_security_level=encrypt'),
    Case('fallback', 'smtp_fallback_relay=FALLBACK', banner='421 4.3.0 gone'),
    Case('xtext', to='a+b=c'),
    Case('preference', 'smtp_address_preference=ipv6'),
    Case('needtls', 'smtp_tls_policy_maps=static:encrypt'),
    Case('badpolicy', 'smtp_tls_policy_maps=static:nonsense'),
    Case('connect1', 'smtp_connect_timeout=1s', full=True),
    Case('xfer1', 'smtp_data_xfer_timeout=1s', size=LARGE, DOT=STUCK),
    Case('xferrate', 'smtp_data_xfer_timeout=2s; smtp_per_request_deadline=yes; smtp_min_data_rate=100000000', size=LARGE, DOT=STUCK),
    Case('handshake1', 'smtp_starttls_timeout=1s; smtp_tls_security_level=encrypt', differs='C10', offers=(*OFFERS, 'STARTTLS'), STAR=HANG),
    Case('dripped', offers=(), options='smtp_mail_timeout=2s', MAIL=DRIP),
    Case('deadline', offers=(), options='smtp_mail_timeout=2s; smtp_per_request_deadline=yes', MAIL=DRIP),
    Case('deadlineold', offers=(), options='smtp_mail_timeout=2s; smtp_per_record_deadline=yes', MAIL=DRIP),
    Case('port', 'smtp_tcp_port={port}', where='[127.0.0.1]'),
    Case('enforced', 'smtp_bind_address=192.0.2.1; smtp_bind_address_enforce=yes', differs='C10'),
    Case('unenforced', 'smtp_bind_address=192.0.2.1'),
    Case('enforced6', 'smtp_bind_address6=2001:db8::1; smtp_bind_address_enforce=yes; inet_protocols=all', differs='C10', where='[::1]:{port}'),
    Case('bound6', 'smtp_bind_address6=::1; inet_protocols=all', where='[::1]:{port}'),
]
# where names count: {name}.test has these records
NAMED = [
    (Case('mxlost', where='mxlost.test:{port}'), {'MX': 'SERVFAIL', 'A': '127.0.0.1'}),
    (Case('mxignored', 'ignore_mx_lookup_error=yes', where='mxignored.test:{port}'), {'MX': 'SERVFAIL', 'A': '127.0.0.1'}),
    (Case('mxnone', where='mxnone.test:{port}'), {'MX': '10 nowhere.test.'}),
    (Case('mxlater', 'smtp_defer_if_no_mx_address_found=yes', where='mxlater.test:{port}'), {'MX': '10 nowhere.test.'}),
    (Case('addressless', where='[addressless.test]:{port}'), {'MX': '10 localhost.test.'}),
    (Case('hosted', where='hosted.test:{port}', text=True), {'A': '127.0.0.1'}),
    *[(Case(f'balance{word}', f'smtp_balance_inet_protocols={word}; smtp_address_preference=ipv6; smtp_mx_address_limit=2; inet_protocols=all',
            where=f'[balance{word}.test]:{{port}}'), {'AAAA': ['2001:db8::1', '2001:db8::2', '2001:db8::3'], 'A': '127.0.0.1'})
      for word in ('yes', 'no')],
]
TEXT = ('From: x@good.test\r\nTo: x@all.test\r\nSubject: a letter\r\nX-Drop: 1\r\nX-Change: 2\r\nMIME-Version: 1.0\r\n'
        'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nline\r\n.dot\r\n' + 'long ' * 250 +
        '\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nbody\r\n--b--\r\n')


class Server:
    def __init__(self, case):
        self.case, self.said, self.texts, self.peers, self.left = case, [], [], set(), []
        self.listener = socket.socket(socket.AF_INET6 if '::1' in case.where else socket.AF_INET)
        if case.size:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.listener.bind(('::1' if '::1' in case.where else '127.0.0.1', 0))
        self.listener.listen(0 if case.full else 20)
        self.port = self.listener.getsockname()[1]
        if case.full:
            self.crowd = [socket.socket() for _ in range(3)]
            for s in self.crowd:
                s.setblocking(False)
                s.connect_ex(('127.0.0.1', self.port))
            return
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                peer, (address, *_) = self.listener.accept()
            except OSError:
                return
            self.peers.add(address)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        try:
            with peer:
                peer.settimeout(30 * SLOW)
                self._session(peer, peer.makefile('rb'))
        except OSError:
            pass

    def _session(self, peer, file):
        def say(*lines):
            for line in lines:
                peer.sendall(line.encode() + b'\r\n')
        case, taken = self.case, 0
        say(case.banner)
        while True:
            line = file.readline(65536).decode('utf-8', 'replace').rstrip('\r\n')
            if not line:
                return
            self.said.append(re.sub(r'SIZE=\d+', 'SIZE=n', line))
            verb = line[:4].upper() if not line.upper().startswith('XFORWARD') else 'XFORWARD'
            reply = case.replies.get(verb)
            if verb == 'DATA' and reply is None:
                say('354 go on')
                if case.replies.get('DOT') == STUCK:
                    time.sleep(20 * SLOW)
                    return
                text = b''
                while (part := file.readline()) not in (b'.\r\n', b''):
                    text += part
                self.texts.append(text)
                reply = case.replies.get('DOT', '250 2.0.0 taken')
                if reply not in (HANG, CLOSE):
                    say(*[reply] * (taken if self.lmtp else 1))
                    continue
            if reply == HANG:
                if verb == 'STAR':
                    say('220 2.0.0 go on')
                while file.readline():  # until the client goes
                    pass
            if reply in (HANG, CLOSE):
                self.left.append(verb)
                return
            if reply == DRIP:  # each piece comes in time
                for piece in '250 ', '2.0', '.0 ', 'ok', '\r\n':
                    peer.sendall(piece.encode())
                    time.sleep(0.8)
                continue
            if reply is not None:
                taken += verb == 'RCPT' and reply[0] == '2'
                say(reply)
            elif verb in ('EHLO', 'LHLO'):
                self.lmtp = verb == 'LHLO'
                words = ['sink.test', *case.offers]
                say(*[f'250{" " if n == len(words) else "-"}{w}' for n, w in enumerate(words, 1)])
            elif verb == 'QUIT':
                say('221 2.0.0 bye')
                return
            else:
                taken += verb == 'RCPT'
                say('250 2.0.0 ok')

    lmtp = False


def option(text, protocol, spare, port):
    made = []
    for name, value in (w.split('=', 1) for w in text.split('; ') if w):
        if protocol == 'lmtp':
            name = NAMES.get(name, name.replace('smtp_', 'lmtp_', 1))
        made.append(f'-o {{ {name} = {value.replace("FALLBACK", f"[127.0.0.1]:{spare}").replace("{port}", str(port))} }}')
    return ' '.join(made)


class Side:
    def __init__(self, protocol, cases=None, make=Server, fill=str):
        cases = [c for c in cases or CASES if c.only in (None, protocol)]
        self.spare = Server(Case('spare'))
        self.servers = {c.name: make(c) for c in cases}
        ports = {n: s.port for n, s in self.servers.items()}
        self.master = ''.join(f'{c.name} unix - - n - - {protocol} {option(fill(c.options), protocol, self.spare.port, ports[c.name])}\n' for c in cases)
        self.main = (f'myorigin = good.test\nmydestination =\ndefault_transport = discard:\nappend_dot_mydomain = no\n'
                     'minimal_backoff_time = 1h\nmaximal_backoff_time = 1h\nsmtp_tls_security_level = none\nlmtp_tls_security_level = none\n'
                     'smtputf8_enable = no\nnotify_classes =\nin_flow_delay = 0\nsmtp_bind_address = 127.0.0.1\nlmtp_bind_address = 127.0.0.1\n'
                     'smtp_connection_cache_on_demand = no\nlmtp_connection_cache_on_demand = no\nmessage_size_limit = 20000000\n'
                     'transport_maps = inline:{' + ', '.join(f'{n}.test={n}:{s.case.where.format(port=s.port)}' for n, s in self.servers.items()) + '}\n')

    def send(self, address, port):
        for case in (s.case for s in self.servers.values()):
            with smtplib.SMTP(address, port, timeout=60 * SLOW, local_hostname='client.test') as s:
                s.ehlo()
                s.mail('x@good.test')
                code, text = s.rcpt(f'{case.to}@{case.name}.test')
                assert code == 250, text
                s.data(TEXT + ('x' * 78 + '\r\n') * (case.size // 80))

    def done(self, log):
        return all(re.search(rf'to=<[^>]*@{n}\.test>,', log()) for n in self.servers)

    def told(self, name, log):
        server = self.servers[name]
        lines = [re.sub(r'.*relay=', 'relay=', l) for l in log.splitlines() if re.search(rf'to=<[^>]*@{name}\.test>,', l)]
        lines = [re.sub(r'delay=.*?dsn=', 'dsn=', l) for l in lines]
        lines = [re.sub(rf':({server.port}|{self.spare.port})\b', ':PORT', l) for l in lines]
        lines = [re.sub(r'message size \d+', 'message size N', l) for l in lines]
        lines = [re.sub(r'2001:db8::\d', '2001:db8::N', l) for l in lines]  # equal addresses are tried in any order
        texts = []
        for t in server.texts if server.case.text else []:
            m = email.message_from_bytes(t)
            fields = sorted(f'{k}: {v}' for k, v in m.items() if k.lower() not in ('received', 'message-id', 'date'))
            texts.append((fields, t.partition(b'\r\n\r\n')[2].decode()))
        return {'log': lines, 'said': [l for l in server.said if l not in ('RSET', 'QUIT')], 'from': sorted(server.peers), 'text': texts, 'spare': self.spare.said if name == 'fallback' else []}


def play(hosts, folder, ours, theirs, **more):
    """The same for both sides; a line for each difference."""
    h = hosts(HOST, 'compatibility_level = 3.6\ndkim_sign = no\nrequiretls_enable = no\n' + ours.main, services={'smtp': 'smtpd'}, start=False, **more)
    with open(h.folder + '/master.cf', 'a') as f:
        f.write(ours.master + 'discard unix - - n - - discard\n')
    p = postfix_.Postfix(f'{folder}/postfix', 'twin.test', address=own_address(), port=free_port(), main=f'myhostname = {HOST}\n{theirs.main}', **more)
    with open(p.folder + '/etc/master.cf', 'a') as f:
        f.write(theirs.master)
    try:
        p.start()
        h.start()
        theirs.send(p.address, p.port)
        ours.send(h.address, h.ports['smtp'])
        wait_until(lambda: theirs.done(p.log), 60, lambda: p.log()[-3000:])
        wait_until(lambda: ours.done(h.log), 60, lambda: h.log()[-3000:])
        time.sleep(1)  # QUIT
        report = []
        for name in ours.servers:
            a, b = ours.told(name, h.log()), theirs.told(name, p.log())
            report += [f'{name}: {what}\n  hato:    {a[what]}\n  Postfix: {b[what]}' for what in a if a[what] != b[what] and ours.servers[name].case.differs is None]
    finally:
        p.stop()
    return report


@postfix_.to_the_letter
@pytest.mark.parametrize('protocol', ['smtp', 'lmtp'])
def test_ways_out(hosts, folder, protocol):
    ours, theirs = Side(protocol), Side(protocol)
    report = play(hosts, folder, ours, theirs)
    assert not report, f'{len(report)} differences:\n' + '\n'.join(report)


@postfix_.to_the_letter
def test_names_on_the_way_out(hosts, folder):
    known = {c.name: records for c, records in NAMED}

    def records(name, kind):
        kind, first = dns.rdatatype.to_text(kind), name.labels[0].decode()
        if first not in known or len(name.labels) != 3:
            return None
        data = known[first].get(kind, [])
        return data if data == dnsd.SERVFAIL else [dns.rdata.from_text('IN', kind, d) for d in ([data] if isinstance(data, str) else data)]
    cases = [c for c, _ in NAMED]
    server = dnsd.Dnsd(records, address=own_address(), port=53)
    try:
        ours, theirs = Side('smtp', cases), Side('smtp', cases)
        report = play(hosts, folder, ours, theirs, dns=server)
    finally:
        server.stop()
    assert not report, f'{len(report)} differences:\n' + '\n'.join(report)
    assert [n for n, s in ours.servers.items() if s.texts] == ['mxignored', 'hosted', 'balanceyes']


# one after the other to the same server, and how many connections they took; pauses between them
KEPT = [
    (Case('kept', 'smtp_connection_cache_destinations=127.0.0.1'), 0),
    (Case('notkept', ''), 0),
    (Case('other', 'smtp_connection_cache_destinations=other.test'), 0),
    (Case('twice', 'smtp_connection_cache_destinations=127.0.0.1; smtp_connection_reuse_count_limit=1'), 0),
    (Case('aged', 'smtp_connection_cache_destinations=127.0.0.1; smtp_connection_cache_time_limit=20s; smtp_connection_reuse_time_limit=1s'), 1.5),
]


class Counting(Server):
    connections = 0

    def _serve(self, peer):
        self.connections += 1
        super()._serve(peer)


class Repeated(Side):
    """Three messages for each case."""
    def send(self, address, port):
        self.sent = {}

        def one(name, pause):
            for n in range(3):
                with smtplib.SMTP(address, port, timeout=60 * SLOW, local_hostname='client.test') as s:
                    s.sendmail('x@good.test', [f'x{n}@{name}.test'], TEXT)
                wait_until(lambda: len(self.servers[name].texts) > n, 60, lambda: f'message {n} of {name}')
                time.sleep(1 + pause)
        threads = [threading.Thread(target=one, args=(c.name, pause)) for c, pause in KEPT]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

    def told(self, name, log):
        return {'connections': self.servers[name].connections}


@postfix_.to_the_letter
def test_connections_that_are_kept(hosts, folder):
    """Nothing but what main.cf names is kept (smtp_connection_cache_on_demand = no), so often and so long as it says."""
    cases = [c for c, _ in KEPT]
    ours, theirs = Repeated('smtp', cases, Counting), Repeated('smtp', cases, Counting)
    report = play(hosts, folder, ours, theirs)
    assert not report, '\n'.join(report)
    assert {n: s.connections for n, s in ours.servers.items()} == {'kept': 1, 'notkept': 3, 'other': 3, 'twice': 2, 'aged': 3}


def test_a_reset_that_is_not_answered(hosts):
    """A kept connection whose last transaction ended early is reset before the next one; smtp_rset_timeout is how long that may take (Postfix
    resets each kept connection)."""
    server = Server(Case('reset', offers=(), RSET=HANG, RCPT='550 5.1.1 nobody'))
    h = hosts(HOST, 'mydestination =\nnotify_classes =\nsmtp_connection_cache_destinations = 127.0.0.1\nsmtp_rset_timeout = 1s\n'
              f'smtp_tls_security_level = none\ntransport_maps = inline:{{far.test=smtp:[127.0.0.1]:{server.port}, x.test=discard:}}\n', services={'smtp': 'smtpd'})
    h.send('x@x.test', 'a@far.test', TEXT)
    h.wait_log(r'to=<a@far\.test>.*status=bounced')
    del server.case.replies['RCPT']
    h.send('x@x.test', 'b@far.test', TEXT)
    wait_until(lambda: 'RSET' in server.said, 30, h.log)
    asked = time.monotonic()
    wait_until(lambda: 'RSET' in server.left, 30, h.log)
    assert time.monotonic() - asked < 15 * SLOW, 'the default is 20 s'
    wait_until(lambda: server.texts, 30, h.log)
    assert len(server.texts) == 1
