# SPDX-License-Identifier: Apache-2.0
"""The programs beside Debian's, call by call: the same ten messages wait in both queues, then each call of the table runs on both sides, in
this order. Exit code and output must be the same, but for ids, times, sizes and folders."""
import concurrent.futures, json, os, re, shlex, subprocess, threading
import pytest
import hato, postfix as postfix_, sink as sink_
from around import *

pytestmark = [pytest.mark.root, postfix_.to_the_letter]
BIN = os.path.dirname(HATO)
MAIN = '''myorigin = twin.test
mydestination = twin.test, localhost
alias_maps = hash:@/aliases
alias_database = hash:@/aliases
local_recipient_maps =
virtual_alias_maps = texthash:@/virtual
relayhost = [127.0.0.1]:{port}
minimal_backoff_time = 3000s
maximal_backoff_time = 4000s
queue_run_delay = 3000s
fast_flush_domains = far.test
smtp_connection_cache_on_demand = no
syslog_name = postfix
notify_classes =
'''
BUSY = '450 4.3.2 busy, very busy, and the text of this reply is longer than one line of a terminal can show'
SENT = {1: 'slow1@far.test slow2@far.test slow3@other.test', 2: 'vv@twin.test', 3: 'busy@far.test slow@far.test'}  # else slowN@far.test

FILES = {
    'aliases': 'postmaster: root\nteam: ann, bob\n',
    'virtual': 'vv@twin.test slow@far.test\n',
    't': '# c\nUser@Example.com  value one\nx y\n  continued\ndup a\n:colon z\nb=c d e\nlist 1, 2,\n 3\n"q r" s\n',
    'kept': 'x y\n  continued\nlist 1, 2,\n 3\n',
    'twice': 'dup a\ndup b\n',
    'bad': 'good x\nnovalue\n',
    'ft': 'k @/f1\n',
    'f1': 'file one\n',
    'al': 'postmaster: root\nx : "|cmd arg", /file\n y\n"a b": c\nteam:ann\n',
    're': '/^a(.*)/ got $1\nif /z/\n/zz/ yes\nendif\n/x/i\n',
    'ci': '10.0.0.0/8 ten\n::1 six\n!1.2.3.4 not\n',
    'hc': '/bad/ REJECT it\n/x.exe/ exe\n/Subject/ s\n/pre/ p\n/From/ f\n',
    'conf/main.cf': 'compatibility_level = 3.6\nmyhostname = mail.twin.test\nmyorigin = own.test\nmy_own = $my_other\nmy_other = 1\nmydestination = a, b,\n  c\n'
                    'inet_protocols = ipv4\nlong_one = ' + 'word ' * 40 + '\nlocal_header_rewrite_clients = $long_one $my_own\n',
    'conf/master.cf': 'submission inet n - y - - smtpd -o smtpd_tls_security_level=encrypt -o { smtpd_client_restrictions = a, b }\n'
                      '  -o mynetworks=$my_own\nrel unix - - n - 3 pipe flags=R user=nobody argv=/bin/cat ${recipient}\n'
                      '2525 inet n - n - - smtpd\n',
}
MIME = (r'From: a\nSubject: bad thing\n cont\nContent-Type: multipart/mixed; boundary=q\n\npre\n--q\n'
        r'Content-Type: text/plain; name=x.exe\n\nbody bad\n--q--\n')

# A line: [(entry of doc/postfix-differences.md that tells why the output differs, and with "!" the exit code)] [user:] program and its options
# [<< standard input]; {s1} is the id of the message of s1, @ the folder. A group of lines that begins with "together" changes nothing: its
# order does not matter, and Postfix's fatal errors take a second each. "fill" sends the ten messages; "tried 3" waits until three more
# recipients were tried, "released s1 3" until the three of s1's message were, "left 9" until so many messages are left, none under way.
CALLS = r'''
postqueue -p
mailq
sendmail -bp
postqueue -j
fill
postqueue -p
postqueue -j
mailq
sendmail -bp

together
postqueue
postqueue -x
postqueue -p x
postqueue -f x
postqueue -p -f
postqueue -i
postqueue -s
postqueue -i NOSUCH
postqueue -s nowhere.test
postqueue -s [1.2.3.4]
postqueue -c
postqueue -j x
postqueue -p -p
postqueue -i A -s far.test
postqueue -jp
postqueue -c /nonexistent -p
postsuper -d
postsuper -x
postsuper -d NOSUCH
postsuper -d ABCDEF0123
postsuper -h NOSUCH
postsuper -H NOSUCH
postsuper -r NOSUCH
postsuper -e NOSUCH
postsuper -f NOSUCH
postsuper -d -
postsuper -h ALL hold
postsuper -r ALL hold
postsuper -d ALL nosuch
postsuper -d ALL maildrop
postsuper -h all
postsuper -d A/B
postsuper -d ..
postsuper -z
postsuper -c /nonexistent -d X
postsuper -d ALL corrupt
postsuper -d A -d - -h -

postsuper -h {s0}
postsuper -h {s0}
postqueue -p
postsuper -H {s0} deferred
postsuper -H {s0}
released s0 1
postsuper -H {s0}
postsuper -h {s0} hold
postsuper -h {s0} deferred
postsuper -H {s0} hold deferred
released s0 1
postsuper -h - << bad id\n{s1}\nNOSUCH\n
postqueue -p
postsuper -H - << {s1}\n
released s1 3
postsuper -d {s2}
postsuper -d {s2}
left 9
postsuper -h {s5}
postsuper -e {s5}
postqueue -p
postsuper -f {s5}
postsuper -f {s5}
postqueue -i {s5}
left 8
postsuper -r {s3}
sendmail -f s@else.test ok@far.test << wakes pickup\n
tried 3
left 8
postsuper -h ALL
postsuper -h ALL
postqueue -p
postsuper -H ALL
postsuper -H ALL
released ALL 10
postsuper -d ALL hold

together
postcat -bq {s4}
(P2) postcat -q {s4}
postcat -n -q {s4}
postcat -z
postcat -q
postcat -q NOSUCH
postcat -c /nonexistent -q {s4}
nobody: postqueue -i NOSUCH
nobody: postsuper -d ALL
nobody: postcat -q {s4}
nobody: postqueue -p
nobody: mailq
nobody: sendmail -bp

nobody: postqueue -f
tried 10
left 8
postqueue -p
postqueue -s far.test
tried 9
left 8
sendmail -q
tried 10
left 8
sendmail -qRother.test
sendmail -qI{s6}
tried 1
left 8
postsuper -d ALL
postqueue -p

postmap hash:@/t
postmap -r hash:@/t
postmap -w hash:@/t
postmap -o hash:@/t
postmap -p hash:@/t
postmap -u hash:@/t
postmap -q User@Example.com hash:@/t
postmap -q x hash:@/t
postmap -q dup hash:@/t
postmap -q DUP hash:@/t
postmap -q b=c hash:@/t
postmap -q list hash:@/t
postmap -q '"q r"' hash:@/t
postmap -q nothing hash:@/t
postmap -q '' hash:@/t
postmap -q - hash:@/t << x\nnone\nLIST\n\ndup\n
postmap -d x hash:@/t
postmap -d x hash:@/t
postmap -d - hash:@/t << dup\nnone\n
postmap -q dup hash:@/t
postmap -i hash:@/t << new one\n
postmap -q new hash:@/t
postmap -ir hash:@/t << new three\n
postmap -q new hash:@/t
postmap -F hash:@/ft
postmap hash:@/bad
(P7) postmap hash:@/twice

together
postmap -q x texthash:@/kept
postmap -q list texthash:@/kept
postmap -q nothing texthash:@/kept
postmap -q - texthash:@/kept << x\nnone\nlist\n
postmap texthash:@/kept
(P7) postmap -d x texthash:@/kept
postmap -q a1 regexp:@/re
postmap -q azz pcre:@/re
postmap -q zz regexp:@/re
postmap -q 10.1.1.1 cidr:@/ci
postmap -q ::1 cidr:@/ci
postmap -q 5.5.5.5 cidr:@/ci
postmap regexp:@/re
postmap cidr:@/ci
(P7) postmap -q x nosuch:@/t
(P7) postmap nosuch:@/t
postmap hash:@/missing
(P7) postmap -q x hash:@/nowhere
postmap -q x inline:{x=1}
postmap -q x static:all
(P7) postmap -q x static:
(P7) postmap -q x fail:y
postmap -q root unix:passwd.byname
(P7) postmap -q HOME environ:
postmap -q x unionmap:{inline:{x=1},inline:{x=2}}
postmap -q x pipemap:{inline:{x=y},inline:{y=2}}
postmap -q x randmap:{1}
postmap -s inline:{x=1}
(P7!) postmap -q x proxy:inline:{x=1}
postmap -q x 'pcre:{{/x/ 1}}'
postmap -q 1.1.1.1 'cidr:{{1.0.0.0/8 y}}'
postmap -q x
postmap -q
postmap -Q
(P7) postmap -s
postmap -d x
postmap
postmap -q x -d y hash:@/t
(P7) postmap -q x -s hash:@/t
postmap -q x -i hash:@/t
postmap -bhq x regexp:@/re
postmap -Fq k hash:@/ft
postmap -x hash:@/t
postmap -q x inline:{y=1} inline:{x=2}
(P7) postmap -q x inline:{x=}
postmap -q x inline:{}
(P7) postmap -q x inline:{x}
postmap -c /nonexistent -q x inline:{x=1}
nobody: postmap -q x inline:{x=1}
postmap -h -q - regexp:@/hc << MIME
postmap -b -q - regexp:@/hc << MIME
postmap -hb -q - regexp:@/hc << MIME
postmap -hm -q - regexp:@/hc << MIME
postmap -hbm -q - regexp:@/hc << MIME
postmap -m -q - regexp:@/hc << MIME
postmap -bm -q - regexp:@/hc << MIME
postmap -q - regexp:@/hc << MIME
postmap -q 'Subject: bad' regexp:@/hc
postmap -h -q 'Subject: bad' regexp:@/hc

postalias hash:@/al
postalias -w hash:@/al
postalias -r hash:@/al
postalias -o hash:@/al
postalias -p hash:@/al
postalias -u hash:@/al
postalias -q postmaster hash:@/al
postalias -q POSTMASTER hash:@/al
postalias -q x hash:@/al
postalias -q 'a b' hash:@/al
postalias -q '"a b"' hash:@/al
postalias -q team hash:@/al
postalias -q zz hash:@/al
postalias -q - hash:@/al << team\nzz\n
postalias -i hash:@/al << n: m\n
postalias -q n hash:@/al
postalias -d n hash:@/al
postalias -d n hash:@/al
postalias -d - hash:@/al << team\n
postalias -q team hash:@/al

together
postalias hash:@/none
postalias
postalias -q
postalias -x
postalias -b hash:@/al
postalias -F hash:@/al
postalias -h hash:@/al
postalias -q r -d r hash:@/al

newaliases
sendmail -bi
sendmail -I
newaliases x
newaliases -oAhash:@/al
newaliases -C /nonexistent

together
postconf -c @/conf -n
postconf -c @/conf -nx
postconf -c @/conf -nf
postconf -c @/conf -nh
postconf -c @/conf -nH
postconf -c @/conf myorigin
postconf -c @/conf -h myorigin
postconf -c @/conf -H myorigin
postconf -c @/conf -f long_one
postconf -c @/conf -x my_own
postconf -c @/conf -hx local_header_rewrite_clients
postconf -c @/conf -o my_other=7 -x my_own
postconf -c @/conf -o my_other=7 my_other
postconf -c @/conf -o x
postconf -c @/conf -d myorigin
postconf -c @/conf -d my_own
postconf -c @/conf -n myhostname bogus
postconf -c @/conf nosuch myorigin
postconf -c @/conf -p my_own
postconf -c @/conf -n -d
postconf -c @/conf -hH myorigin
postconf -c @/conf -C user
postconf -c @/conf -C x
postconf -c @/conf -a
postconf -c @/conf -l
postconf -c @/conf -M
postconf -c @/conf -M submission
postconf -c @/conf -M submission/inet
postconf -c @/conf -Mf
postconf -c @/conf -M nosuch
postconf -c @/conf -F
postconf -c @/conf -F rel
postconf -c @/conf -F rel/unix/command
postconf -c @/conf -P
postconf -c @/conf -P submission/inet/mynetworks
postconf -c @/conf -Px submission/inet/mynetworks
postconf -c @/conf -Ph
postconf -c @/conf -PH
postconf -c @/conf -e
postconf -c @/conf -e x
postconf -c @/conf -e 'a b=c'
postconf -c @/conf -e =c
postconf -c @/conf -# myorigin=1

postconf -c @/conf -# nosuch
postconf -c @/conf -X nosuch
postconf -c @/conf -e new_one=1
postconf -c @/conf new_one
postconf -c @/conf -# new_one
postconf -c @/conf new_one
postconf -c @/conf -e new_one=2
postconf -c @/conf -X new_one
postconf -c @/conf -e mydestination=
postconf -c @/conf mydestination
postconf -c @/conf -Me rel/unix
postconf -c @/conf -Me 'rel/unix=rel unix - - n - 4 smtp'
postconf -c @/conf -M rel
postconf -c @/conf -M# rel/unix
postconf -c @/conf -M rel
postconf -c @/conf -MX rel/unix
postconf -c @/conf -M rel
postconf -c @/conf -Fe 2525/inet/chroot=y
postconf -c @/conf -F 2525/inet/chroot
postconf -c @/conf -Pe 2525/inet/a=b
postconf -c @/conf -P 2525
postconf -c @/conf -PX 2525/inet/a
postconf -c @/conf -P 2525
cat @/conf/main.cf
cat @/conf/master.cf
postconf -c /nonexistent x

together
postlog -p info a
postlog -t tag a
postlog -i a
postlog << a\nb\n
postfix status
(P7) nobody: postfix status
(P7) nobody: postfix reload
sendmail -bz
sendmail -bh
sendmail -bH
sendmail -C /nonexistent x
sendmail -V x
sendmail -XV x
sendmail -R x a@b
sendmail -qS
sendmail -bs -t
sendmail -oX << Subject: x\n\nx\n
(P7) sendmail -f
(P3!) sendmail -n slow@far.test << x\n
nobody: sendmail
sendmail -t << Subject: x\n\nx\n

sendmail -t << To: undisclosed:;\nSubject: x\n\nx\n
sendmail -t -bv
sendmail -om -oee slow@far.test << x\n
sendmail -Ac slow@far.test << x\n
sendmail -r a@b -oi slow@far.test << x\n.\nx\n
sendmail -f '' slow@far.test << x\n
sendmail -o7 -odb -oem -m -U -h 10 slow@far.test << x\n
sendmail -p smtp -e x -- slow@far.test << x\n
nobody: sendmail slow@far.test << x\n
'''


class Side:
    def __init__(self, name, folder, server, sink):
        self.name, self.folder, self.server, self.sink = name, folder, server, sink
        self.ids, self.seen, self.results, self.failure = {}, 0, [], None

    def run(self, program, *args, user=None, text=''):
        become = ['setpriv', f'--reuid={user}', '--regid=nogroup', '--clear-groups'] if user else []
        if self.name == 'hato':
            command = [*become, f'{BIN}/{program}' if program != 'cat' else program, *args]
        else:  # programs with another group than the caller's read /etc/postfix only
            place = next((d for d in ('/usr/sbin', '/usr/bin') if os.path.exists(f'{d}/{program}')), '/bin')
            command = ['unshare', '-m', 'sh', '-c', f'mount --bind {self.folder} /etc/postfix && exec "$@"', 'sh', *become, f'{place}/{program}', *args]
        return subprocess.run(command, input=text, capture_output=True, text=True, cwd='/', timeout=60 * SLOW,
                              env={**os.environ, 'MAIL_CONFIG': self.folder, 'HOME': '/root'} if self.name == 'hato' else {**os.environ, 'HOME': '/root'})

    def queue(self):
        return [json.loads(line) for line in self.run('postqueue', '-j').stdout.splitlines()]

    def rests(self, count):
        """Whether so many messages are left, each of them held or put off."""
        queue = self.queue()
        self.ids = {m['sender']: m['queue_id'] for m in queue}
        return len(queue) == count and all(m['queue_name'] == 'hold' or m['queue_name'] == 'deferred' and all(r.get('delay_reason')
                                           for r in m['recipients']) for m in queue)

    def tried(self):
        return sum(c.upper().startswith('RCPT TO') for c in list(self.sink.commands))

    def step(self, line):
        """What the test itself does or waits for; False: line is a call."""
        word, _, rest = line.partition(' ')
        if word == 'fill':
            for n in range(10):
                done = self.run('sendmail', '-f', f's{n}@else.test', *SENT.get(n, f'slow{n}@far.test').split(), text=f'Subject: n{n}\n\nbody {n}\n')
                assert done.returncode == 0, done
            wait_until(lambda: self.rests(10), 60 * SLOW, lambda: f'ten messages put off: {self.queue()}')
            self.seen = self.tried()
        elif word == 'tried':
            wait_until(lambda: self.tried() >= self.seen + int(rest), 60 * SLOW, lambda: f'{rest} more tries than {self.seen}: {self.tried()}')
            self.seen += int(rest)
        elif word == 'released':  # hato tries what was released at once, Postfix when it next looks at the queue
            message, tries = rest.split()
            if self.name == 'postfix':
                self.run('postqueue', *(['-f'] if message == 'ALL' else ['-i', self.ids[message + '@else.test']]))
            self.step('tried ' + tries)
            self.step(f'left {len(self.queue())}')
        elif word == 'left':
            wait_until(lambda: self.rests(int(rest)), 60 * SLOW, lambda: f'{rest} messages: {self.queue()}')
            self.seen = self.tried()
        return word in ('fill', 'tried', 'released', 'left')

    def call(self, line):
        explained, user, call, text = re.fullmatch(r'(?:\((\w+!?)\) )?(?:(nobody): )?(.*?)(?: << (.*))?', line).groups()
        given = [re.sub(r'\{(s\d)\}', lambda m: self.ids[m[1] + '@else.test'], t).replace('@/', self.folder + '/').replace('\\n', '\n')
                 for t in (call, MIME if text == 'MIME' else text or '')]
        return line, explained, *self.plain(self.run(*shlex.split(given[0]), user=user, text=given[1]))

    def play(self):
        try:
            for group in CALLS.strip().split('\n\n'):
                lines = group.strip().splitlines()
                if lines[0] == 'together':
                    with concurrent.futures.ThreadPoolExecutor(12) as pool:
                        self.results += pool.map(self.call, lines[1:])
                else:
                    for line in lines:
                        if not self.step(line):
                            self.results.append(self.call(line))
        except BaseException as e:
            self.failure = e

    def plain(self, done):
        out, err = (t.replace(self.folder, '@').replace('/etc/postfix', '@').replace(BIN + '/', '') for t in (done.stdout, done.stderr))
        out, err = (re.sub(r'/usr/s?bin/(?=post|sendmail)', '', t) for t in (out, err))
        err = re.sub(r'(specify one of -\S),', r'\1', err)  # 3.11's comma
        if out.startswith('{'):
            return done.returncode, sorted((m['sender'], m['queue_name'], m.get('forced_expire', False),
                                            sorted((r['address'], self.text(r.get('delay_reason', ''))) for r in m['recipients']))
                                           for m in map(json.loads, out.splitlines())), err
        if re.match(r'-+Queue ID', out):  # short and long ids have columns of their own
            blocks = re.sub(r'^-.*\n', '', out, count=1).strip().split('\n\n')
            return done.returncode, sorted(self.listed(b) for b in blocks), err
        return done.returncode, self.text(out), self.text(err)

    def listed(self, block):
        block = re.sub(r'^([0-9A-F]+)([*!#]*) +\d+ (\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d) +', r'ID\2 SIZE DATE ', block)
        block = re.sub(r'\d+ Kbytes', 'N Kbytes', block)
        entry, *rest = [' '.join(l.split()) for l in self.text(block).splitlines()]
        return entry, rest

    def text(self, text):
        for i in self.ids.values():
            text = text.replace(i, 'ID')
        return re.sub(r'\[127\.0\.0\.1\]:\d+', '[SINK]', text)


@pytest.fixture
def sides(folder, sink):
    both, started = [], []
    for name in ('hato', 'postfix'):
        taker = sink(replies={'RCPT TO:<slow': '450 4.2.0 <slow> come again', 'RCPT TO:<busy': BUSY})
        top = f'{folder}/{name}'
        conf = top if name == 'hato' else top + '/etc'
        os.makedirs(conf + '/conf')
        for file, text in FILES.items():
            with open(f'{conf}/{file}', 'w') as f:
                f.write(text.replace('@/', conf + '/'))
        main = MAIN.format(port=taker.port).replace('@', conf)
        if name == 'hato':
            server = hato.Instance(top, 'mail.twin.test', main=main)
        else:
            server = postfix_.Postfix(top, 'twin.test', port=free_port(), main=main + 'myhostname=mail.twin.test\nvirtual_mailbox_domains=\n', tls=False)
        both.append(Side(name, conf, server, taker))
    try:
        for side in both:
            side.server.start()
            started.append(side)
            assert side.run('postalias', f'hash:{side.folder}/aliases').returncode == 0
        yield both
    finally:
        problems = [side.server.finish() if side.name == 'hato' else side.server.stop() for side in started]
    assert not any(problems), problems


def test_each_call_answers_alike(sides):
    threads = [threading.Thread(target=side.play) for side in sides]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    wrong = []
    for (line, explained, *ours), (_, _, *theirs) in zip(*(side.results for side in sides)):
        codes_differ = ours[0] != theirs[0] and not (explained or '').endswith('!')
        if codes_differ or (ours == theirs) == bool(explained):
            wrong.append(f'{line}\n  hato    {ours}\n  Postfix {theirs}')
    wrong += [f'{side.name} after {len(side.results)} calls: {side.failure!r}' for side in sides if side.failure]
    assert not wrong, '\n'.join(wrong)
    with open(os.path.join(TOP, 'doc/postfix-differences.md')) as f:
        entries = set(re.findall(r'^### (\w+)\. ', f.read(), re.M))
    assert set(re.findall(r'^\((\w+)!?\)', CALLS, re.M)) <= entries
