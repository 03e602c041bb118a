# SPDX-License-Identifier: Apache-2.0
"""Twins: Debian's Postfix and hato with the same main.cf, tables and names, asked the same things. A suite is a text file
(tests/data/twins/README says how it is written); play() gives what each of the two answered and sent on."""
import concurrent.futures, email, os, re, shlex, socket, sys, tempfile, time
from around import *
import hato, nsd, postfix, sink

HOST = 'mail.twin.test'
INSIDE = '127.0.0.2'     # the only client in mynetworks
STRANGER = '127.0.0.66'  # mail.stranger.test, forward and back
BASE = f'''compatibility_level = 3.6
myhostname = {HOST}
mydomain = twin.test
myorigin = twin.test
smtpd_banner = $myhostname ESMTP
mydestination = local.test, mail.twin.test, twin.test
local_recipient_maps = inline:{{ann@local.test=x, bob@local.test=x, postmaster=x, ann@twin.test=x}}
alias_maps =
alias_database =
virtual_alias_maps = inline:{{info@alias.test=ann@local.test, {{two@alias.test=ann@local.test bob@local.test}}, far@alias.test=someone@far.test}}
virtual_alias_domains = alias.test
virtual_mailbox_domains = box.test
virtual_mailbox_maps = inline:{{cat@box.test=x, dog@box.test=x}}
relay_domains = relay.test
relay_recipient_maps = inline:{{ok@relay.test=x}}
local_transport = smtp:[127.0.0.1]:@SINK@
virtual_transport = smtp:[127.0.0.1]:@SINK@
relay_transport = smtp:[127.0.0.1]:@SINK@
default_transport = smtp:[127.0.0.1]:@SINK@
mynetworks = {INSIDE}/32
recipient_delimiter = +
append_dot_mydomain = no
smtputf8_enable = no
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
smtpd_recipient_restrictions =
smtpd_error_sleep_time = 0
smtpd_client_connection_count_limit = 0
in_flow_delay = 0
notify_classes =
smtpd_forbid_bare_newline = no
smtp_tls_security_level = none
smtpd_tls_security_level = may
smtpd_peername_lookup = yes
disable_dns_lookups = no
disable_vrfy_command = no
smtp_bind_address = 127.0.0.1
'''
NAMES = f'''
mail.stranger.test A {STRANGER}
66.0.0.127.in-addr.arpa PTR mail.stranger.test.
67.0.0.127.in-addr.arpa PTR liar.stranger.test.
liar.stranger.test A 127.0.0.99
68.0.0.127.in-addr.arpa PTR gone.stranger.test.
70.0.0.127.in-addr.arpa PTR a.b.sub.example.test.
a.b.sub.example.test A 127.0.0.70
2.0.0.127.in-addr.arpa PTR inside.twin.test.
inside.twin.test A 127.0.0.2
onlya.test A 127.0.0.82
nullmx.test MX 0 .
badmx.test MX 10 nowhere.badmx.test.
66.0.0.127.rbl.test A 127.0.0.2
66.0.0.127.rbl.test TXT "Listed, see http://rbl.test/66"
67.0.0.127.rbl.test A 127.0.0.10
66.0.0.127.allow.test A 127.0.0.3
66.0.0.127.open.test A 127.255.255.254
bad.test.rhs.test A 127.0.0.2
stranger.test.rhs.test A 127.0.0.4
mail.stranger.test.rhs.test A 127.0.0.4
helo.bad.test.rhs.test A 127.0.0.5
helo.bad.test A 127.0.0.84
'''
ZONES = {'good.test': '@ MX 10 mx\nmx A 127.0.0.81\nns A 127.0.0.83\n', 'broken.test': None}


class Suite:
    """main, master (text behind smtpd), files {name: text}, plays [(title, options, lines)]"""
    def __init__(self, path):
        self.name = os.path.basename(path).removesuffix('.twin')
        self.main, self.master, self.names, self.files, self.plays = '', '', '', {}, []
        block = None
        with open(path) as f:
            for number, line in enumerate(f, 1):
                line = line.rstrip('\n')
                if line.startswith('#') or (not line.strip() and block is None):
                    continue
                if line[:1] in (' ', '\t', ''):
                    assert block is not None, f'{path}:{number}: indented text belongs to something'
                    block.append(line.strip() if block is not self.raw else line[4:])
                    continue
                word, _, rest = line.partition(' ')
                block = self._open(word, rest, f'{self.name}:{number}')
        self.main = '\n'.join(getattr(self, 'main_lines', []))
        self.master = ' '.join(getattr(self, 'master_lines', []))
        self.names = '\n'.join(getattr(self, 'name_lines', []))
        self.files = {n: '\n'.join(t) + '\n' for n, t in self.files.items()}

    raw = None

    def _open(self, word, rest, where):
        if word in ('main', 'master', 'names'):
            return self.__dict__.setdefault({'main': 'main_lines', 'master': 'master_lines', 'names': 'name_lines'}[word], [])
        if word == 'file':
            self.raw = self.files[rest] = []
            return self.raw
        words = dict(w.partition('=')[::2] for w in shlex.split(rest))
        lines = []
        if word == 'try':
            lines = [f'{"HELO" if words.get("hello") else "EHLO"} {words.get("helo", "client.test")}',
                     f'MAIL FROM:<{words.get("from", "x@good.test")}>']
            lines += [f'RCPT TO:<{t}>' for t in words.get('to', 'ann@local.test').split(',')] + ['QUIT']
            self.plays.append((f'{where} {rest}', words, lines))
            return []
        if word == 'send':
            lines = [f'EHLO {words.get("helo", "client.test")}', f'MAIL FROM:<{words.get("from", "x@good.test")}>']
            lines += [f'RCPT TO:<{t}>' for t in words.get('to', 'ann@local.test').split(',')] + ['DATA']
            words['text'] = text = []
            self.plays.append((f'{where} {rest}', words, lines))
            return text
        assert word == 'play', f'{where}: what is "{word}"?'
        self.plays.append((f'{where} {rest}', words, lines))
        return lines


def normal(reply):
    code, text = reply
    text = re.sub(r'queued as \w+', 'queued as ID', text)
    text = re.sub(r'\b[0-9A-F]{8,14}\b(?=: )', 'ID', text)
    return re.sub(r'\[127\.0\.0\.1\]:\d+', '[SINK]', text) if code else '(closed)'


class Talk(hato.Dialogue):
    def __init__(self, address, port, client, seconds=30):
        self.socket = socket.create_connection((address, port), seconds, source_address=(client, 0))
        self.file = self.socket.makefile('rb')
        self.banner = self.reply()


def play(address, port, number, title, options, lines):
    """The answers to one play: [(what was said, normalized reply)]."""
    got = []
    with Talk(address, port, options.get('client', STRANGER)) as talk:
        got.append(('(connect)', normal(talk.banner)))
        for line in lines:
            mark, line = re.match(r'(~\d+ )?(.*)', line).groups()
            if line.startswith('RAW '):
                talk.raw(eval(line[4:], {'__builtins__': {}}, {}))
                got.append((line, normal(talk.reply())))
            elif line == 'READ':
                got.append((line, normal(talk.reply())))
            elif line == 'TLS':
                got.append(('STARTTLS', normal(talk.say('STARTTLS'))))
                if got[-1][1].startswith('220'):
                    talk.socket = NO_NAME.wrap_socket(talk.socket)
                    talk.file = talk.socket.makefile('rb')
            else:
                got.append((line, normal(talk.say(line))))
            if mark:
                got[-1] = (mark + line, got[-1][1])
            if got[-1][1] == '(closed)':
                return got
            if line == 'DATA' and got[-1][1].startswith('354') and 'text' in options:
                text = '\r\n'.join([f'X-Twin: {number}', *options['text'], '.', ''])
                talk.raw(text)
                got.append(('(text)', normal(talk.reply())))
    return got


def seen(messages):
    """What a sink took, comparable: {X-Twin: [(sender, recipients, header lines, body)]}. Received and ids are each server's own."""
    all_ = {}
    for sender, to, text in messages:
        text = text if isinstance(text, str) else text.decode('utf-8', 'replace')
        m = email.message_from_string(text)
        fields = [f'{k}: {v}' for k, v in m.items() if k.lower() not in ('received', 'message-id', 'date', 'resent-date', 'resent-message-id')]
        fields.sort()
        all_.setdefault(m['X-Twin'] or m['Subject'], []).append((sender, tuple(sorted(to)), tuple(fields), text.partition('\r\n\r\n')[2]))
    return {k: sorted(v, key=str) for k, v in all_.items()}


class Twins:
    def __init__(self, folder, suite):
        self.folder, self.suite = str(folder), suite
        self.hato = self.postfix = None
        self.dns = nsd.Nsd(self.folder + '/dns', NAMES + suite.names, address=own_address(), port=53, zones=ZONES)

    def text(self, text, sinkport, folder):
        return text.replace('@SINK@', str(sinkport)).replace('@FILES@', folder)

    def start(self, hato_too=True):
        self.dns.start()
        self.sinks = [sink.Sink(), sink.Sink()]
        for side, s in zip('hp', self.sinks):
            files = f'{self.folder}/{side}'
            os.makedirs(files, mode=0o755, exist_ok=True)
            for name, text in self.suite.files.items():
                with open(f'{files}/{name}', 'w') as f:
                    f.write(self.text(text, s.port, files))
        os.chmod(self.folder, 0o755)
        main = 'sender_check_exempt_networks = 0.0.0.0/0\ndkim_sign = no\nrequiretls_enable = no\n' + self.text(postfix.once(BASE + self.suite.main),  # difference 24; Postfix 3.7 has no REQUIRETLS
                         self.sinks[0].port, self.folder + '/h')
        options = self.text(self.suite.master, self.sinks[0].port, self.folder + '/h')
        self.hato = hato.Instance(self.folder + '/hato', HOST, main=main, networks=f'{INSIDE}/32', dns=self.dns,
                                  services={'smtp': f'smtpd {options}'})
        if hato_too:
            self.hato.start()
        self.postfix = postfix.Postfix(self.folder + '/postfix', 'twin.test', address=own_address(), port=free_port(), dns=self.dns,
                                       main=self.text(BASE + self.suite.main, self.sinks[1].port, self.folder + '/p'))
        if self.suite.master:
            path = self.postfix.folder + '/etc/master.cf'
            with open(path) as f:
                text = f.read()
            with open(path, 'w') as f:
                f.write(text.replace('smtpd\n', f'smtpd {self.text(self.suite.master, self.sinks[1].port, self.folder + "/p")}\n', 1))
        self.postfix.start()
        wait_until(lambda: 'daemon started' in self.postfix.log(), 10)
        try:
            Talk(self.postfix.address, self.postfix.port, INSIDE, seconds=5).close()
        except OSError:
            raise AssertionError(f'{self.suite.name}: Postfix does not answer:\n{self.postfix.log()}')
        return self

    def stop(self):
        problems = self.hato.finish() if self.hato and self.hato.pids() else []
        if self.postfix:
            self.postfix.stop()
        self.dns.stop()
        for s in self.sinks:
            s.stop()
        return problems

    def play_all(self, one=False):
        """[(title, options, hato's answers, Postfix's answers)]"""
        def all_of(address, port):
            got = []
            for number, (title, options, lines) in enumerate(self.suite.plays):
                try:
                    got.append(play(address, port, number, title, options, lines))
                except (OSError, AssertionError) as e:
                    got.append([('(broken)', str(e))])
            return got
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            ours = pool.submit(all_of, self.hato.address, self.hato.ports['smtp']) if not one else None
            theirs = pool.submit(all_of, self.postfix.address, self.postfix.port)
            return [(t, o, a, b) for (t, o, _), a, b in zip(self.suite.plays, (ours or theirs).result(), theirs.result())]

    def sent_on(self, expected):
        """What each of the two handed to its sink, once Postfix's is complete and hato has had as long."""
        def complete():
            return sum(len(s.messages) >= expected for s in self.sinks) == 2
        try:
            wait_until(complete, 10)
        except AssertionError:
            pass
        return [seen(list(s.messages)) for s in self.sinks]


def main(path, *side):
    with tempfile.TemporaryDirectory() as folder:
        suite = Suite(path)
        twins = Twins(folder, suite)
        try:
            twins.start(hato_too=not side)
            played = twins.play_all(one=bool(side))
            for title, _, ours, theirs in played:
                print(title)
                for n, (said, text) in enumerate(theirs):
                    print('   ', said[:100], '\n        ', text.replace('\n', '\n         '))
                    if not side and (n >= len(ours) or ours[n][1] != text):
                        print('    hato:', ours[n][1] if n < len(ours) else '(nothing)')
            if side:
                time.sleep(3)
                sent = [seen(list(twins.sinks[1].messages))]
            else:
                sent = twins.sent_on(sum(r.startswith('250') for *_, t in played for s, r in t if s == '(text)'))
            for key, value in sorted(sent[-1].items(), key=str):
                print('sent on', suite.plays[int(key)][0] if key and key.isdigit() else key, *value, sep='\n      ')
                if value != sent[0].get(key):
                    print('    hato:', *sent[0].get(key, ['nothing']), sep='\n      ')
            print(*re.findall('.*(?:fatal|warning|error):.*', twins.postfix.log()), sep='\n')
        finally:
            twins.stop()


if __name__ == '__main__':
    main(*sys.argv[1:])
