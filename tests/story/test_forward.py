# SPDX-License-Identifier: Apache-2.0
"""Mail that goes on to other people's servers: its sender there (SRS), how bounces find back, and what had better not go on."""
import contextlib, os, re, subprocess, time
import pytest
from around import *

pytestmark = pytest.mark.root
HASTE = 'minimal_backoff_time = 1s\nmaximal_backoff_time = 2s\nqueue_run_delay = 1s\n'
VIRTUAL = 'shop@torus.test toru@gmail.test\ntwo@torus.test toru@gmail.test, friend@gmail.test\n'


@contextlib.contextmanager
def socketmap(answer):
    """Netstrings, as PostSRSd 2 speaks them."""
    import socketserver, threading

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            while (size := self.rfile.read(1)):
                while not size.endswith(b':'):
                    size += self.rfile.read(1)
                said = answer(self.rfile.read(int(size[:-1])).decode()).encode()
                self.rfile.read(1)
                self.wfile.write(b'%d:%s,' % (len(said), said))
    with socketserver.ThreadingTCPServer(('127.0.0.1', 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


class Site:
    """torus.test with its forwards to gmail.test; far.test sends, and publishes SPF that does not name us."""
    def __init__(self, folder, hosts, dns, sink, main='', records='', domain='torus.test'):
        self.folder = folder
        self.gmail, self.far = (sink(address=own_address(), port=25) for _ in 'ab')
        self.names = dns(f'gmail.test MX 10 mx.gmail.test.\nmx.gmail.test A {self.gmail.address}\n'
                         f'far.test MX 10 mx.far.test.\nmx.far.test A {self.far.address}\n'
                         f'far.test TXT "v=spf1 ip4:127.0.0.9 -all"\nus.test TXT "v=spf1 ip4:127.0.0.0/8 -all"\n'
                         f'fwd2.test MX 10 mx.gmail.test.\nfwd2.test TXT "v=spf1 ip4:127.0.0.9 -all"\n{records}')
        with open(f'{folder}/virtual', 'w') as f:
            f.write(VIRTUAL)
        self.server = hosts('mail.torus.test', f'''mydestination =
virtual_alias_domains = {domain}
virtual_alias_maps = texthash:{folder}/virtual
{HASTE}{main}''', dns=self.names, networks='127.0.0.2/32')

    def send(self, sender, to, subject='letter', body='hello\n', expect=250, author=None):
        with self.server.dialogue(source='127.0.0.9') as talk:  # not where our own mail leaves from
            talk.ehlo()
            talk.envelope(sender, *([to] if isinstance(to, str) else to))
            talk.say('DATA', 354)
            return talk.say(message(author or sender or 'mailer-daemon@far.test', 'someone@torus.test', subject, body) + '.', expect)

    def rcpt(self, to, sender=''):
        with self.server.dialogue() as talk:
            talk.ehlo()
            talk.say(f'MAIL FROM:<{sender}>', 250)
            return talk.say(f'RCPT TO:<{to}>')

    def arrived(self, n=1, where=None):
        where = where or self.gmail
        wait_until(lambda: len(where.messages) >= n, 20, lambda: f'{n} messages at {where.address}; log:\n{self.server.log()[-3000:]}')
        return where.messages[n - 1]

    def empty(self):
        wait_until(lambda: 'is empty' in self.server.hato('queue', 'list').stdout, 20, lambda: self.server.log()[-3000:])


@pytest.fixture
def site(folder, hosts, dns, sink):
    return lambda *args, **more: Site(folder, hosts, dns, sink, *args, **more)


def test_forwarded_mail_leaves_with_a_sender_of_ours(site):
    s = site()
    s.send('shop@far.test', 'shop@torus.test')
    sender, to, text = s.arrived()
    assert re.fullmatch(r'SRS0=[A-Za-z0-9+/]{4}=[A-Z2-7]{2}=far\.test=shop@torus\.test', sender), sender
    assert to == ['toru@gmail.test']
    assert 'From: shop@far.test' in (text if isinstance(text, str) else text.decode())
    # two recipients of one alias share one transaction
    s.send('shop@far.test', 'two@torus.test')
    sender, to, _ = s.arrived(2)
    assert sender.startswith('SRS0=') and sorted(to) == ['friend@gmail.test', 'toru@gmail.test']
    secret = f'{s.server.folder}/data/srs.secret'
    if not os.path.exists(secret):
        secret = subprocess.run(['find', s.server.folder, '-name', 'srs.secret'], capture_output=True, text=True).stdout.split()[0]
    assert os.stat(secret).st_mode & 0o777 == 0o600


def test_senders_that_need_no_other_stay(site):
    s = site(records='never.test TXT "v=spf1 -all"\n')
    for n, sender in enumerate(['ann@us.test', 'ann@nothing.test', 'ann@torus.test', ''], 1):
        s.send(sender, 'shop@torus.test')
        assert s.arrived(n)[0] == sender, 'SPF passes from here, there is none, it is ours, it is nobody'
    s.send('shop@far.test', 'shop@torus.test')
    assert s.arrived(5)[0].startswith('SRS0=')
    # not forwarded: a user's own mail
    s.server.account('bob@home.test')
    s.server.send('bob@home.test', 'toru@gmail.test', message('bob@home.test', 'toru@gmail.test', 'mine'), service='submission', user='bob@home.test')
    assert s.arrived(6)[0] == 'bob@home.test'


def test_always_never_and_excluded(site):
    s = site('srs = yes\nsrs_exclude_domains = friend.test, .below.test\nsrs_separator = +\nsrs_domain = bounces.torus.test\nsrs_hash_length = 8\n')
    for n, (sender, want) in enumerate([('ann@nothing.test', r'SRS0\+.{8}=..=nothing\.test=ann@bounces\.torus\.test'), ('a@friend.test', None),
                                        ('a@x.below.test', None), ('a@below.test', 'SRS0.*')], 1):
        s.send(sender, 'shop@torus.test')
        got = s.arrived(n)[0]
        assert re.fullmatch(want, got) if want else got == sender, got


def test_srs_can_be_switched_off(site):
    s = site('srs = no\n')
    s.send('shop@far.test', 'shop@torus.test')
    assert s.arrived()[0] == 'shop@far.test'
    code, text = s.rcpt('SRS0=abcd=AA=far.test=shop@torus.test')
    assert code == 550 and 'User unknown' in text


def test_a_bounce_finds_back_and_forged_ones_do_not(site):
    s = site()
    s.send('shop@far.test', 'shop@torus.test')
    sender = s.arrived()[0]
    s.send('', sender, 'your mail did not arrive')
    got = s.arrived(1, s.far)
    assert got[0] == '' and got[1] == ['shop@far.test']
    s.empty()
    s.send('', sender.lower(), 'case is lost on the way')
    assert s.arrived(2, s.far)[1] == ['shop@far.test']
    code, text = s.rcpt(sender.replace('=shop@', '=other@'))
    assert code == 550 and '5.7.1' in text and 'signature is wrong' in text
    code, text = s.rcpt('SRS0=@torus.test')
    assert code == 550
    code, text = s.rcpt('SRS1=xxxx=somewhere.test==abcd=AA=x.test=y@torus.test')
    assert code == 550 and 'signature is wrong' in text


def test_addresses_of_a_postsrsds_database(site):
    """PostSRSd 2 with original-envelope = database: only it knows whom its keys mean; asked as a table, it says so."""
    key = 'SRS0=abcd=AB=1=8OTJ1K0D9CC5T4LNP2QJ1K0D9CC5T4LN@torus.test'
    s = site()
    code, text = s.rcpt(key)
    assert code == 550 and '5.1.1' in text, text

    def answer(request):
        return 'OK shop@far.test' if request.lower() == f'reverse {key}'.lower() else 'NOTFOUND '
    with socketmap(answer) as port:
        s.server.configure(main=s.server.extra_main + f'recipient_canonical_maps = socketmap:inet:127.0.0.1:{port}:reverse\n')
        s.server.hato('reload')
        s.send('', key, 'your mail did not arrive')
        assert s.arrived(1, s.far)[:2] == ('', ['shop@far.test'])
        s.send('shop@far.test', 'shop@torus.test')
        s.send('', s.arrived()[0], 'ours as well')
        assert s.arrived(2, s.far)[1] == ['shop@far.test']


def test_secrets_rotate_and_addresses_age(site, folder):
    with open(f'{folder}/secrets', 'w') as f:
        f.write('old-secret\n')
    s = site(f'srs_secrets = {folder}/secrets\n')
    s.send('shop@far.test', 'shop@torus.test')
    before = s.arrived()[0]
    with open(f'{folder}/secrets', 'w') as f:
        f.write('new-secret\nold-secret\n')
    s.server.hato('reload')
    wait_until(lambda: s.send('shop@far.test', 'shop@torus.test') and s.arrived(len(s.gmail.messages) or 1) and s.gmail.messages[-1][0] != before, 10)
    after = s.gmail.messages[-1][0]
    assert s.rcpt(before)[0] == 250 and s.rcpt(after)[0] == 250
    with open(f'{folder}/secrets', 'w') as f:
        f.write('new-secret\n')
    s.server.hato('reload')
    wait_until(lambda: s.rcpt(before)[0] == 550, 10)
    assert s.rcpt(after)[0] == 250
    # 1,000 days before the stamps of today come round again: made by a colleague with the same secret, long ago
    old = subprocess.run(['perl', '-MMail::SRS', '-e', '''my $s = Mail::SRS->new(Secret => ["new-secret"], MaxAge => 21, HashLength => 4);
        no warnings; *Mail::SRS::timestamp_create = sub { my $t = int((time() / 86400) - 40) & 1023; my @b = ("A".."Z", 2..7); $b[$t >> 5] . $b[$t & 31] };
        print $s->forward('shop@far.test', 'torus.test')'''], capture_output=True, text=True)
    if old.returncode == 0:
        code, text = s.rcpt(old.stdout)
        assert code == 550 and 'expired' in text, (old.stdout, text)


def test_a_second_forwarder(site):
    """What another forwarder rewrote is rewritten as SRS1, whose bounces go straight back to that one."""
    s = site()
    first = 'SRS0=abcd=AA=far.test=shop@fwd2.test'
    s.send(first, 'shop@torus.test')
    sender = s.arrived()[0]
    assert re.fullmatch(r'SRS1=.{4}=fwd2\.test==abcd=AA=far\.test=shop@torus\.test', sender), sender
    s.send('', sender, 'undeliverable')
    got = s.arrived(2)
    assert got[0] == '' and got[1] == [first]


def test_what_the_next_server_refuses_goes_back_once(site):
    s = site('notify_classes = 2bounce\n2bounce_notice_recipient = pm@gmail.test\n')
    s.gmail.rules['replies'] = {'.': '550 5.7.1 no'}
    s.send('shop@far.test', 'shop@torus.test')
    got = s.arrived(1, s.far)
    assert got[0] == '' and got[1] == ['shop@far.test'], 'a report to the sender that came in, not to the rewritten one'
    s.empty()
    # the report about a report: a postmaster hears of it, nothing circles
    s.gmail.rules['replies'] = {}
    s.far.rules['replies'] = {'.': '550 5.1.1 nobody here'}
    s.gmail.messages.clear()
    s.send('shop@far.test', 'shop@torus.test')
    sender = s.arrived()[0]
    s.send('', sender, 'undeliverable')
    got = s.arrived(2)
    assert got[1] == ['pm@gmail.test']
    s.empty()
    assert len(s.gmail.messages) == 2


def test_aliases_of_the_database_and_dot_forward(site):
    s = site(domain='other.test')
    s.server.hato('domain', 'add', 'torus.test')
    s.server.hato('alias', 'add', 'toru-shop@torus.test', 'toru@gmail.test')
    s.send('shop@far.test', 'toru-shop@torus.test')
    sender, _, text = s.arrived()
    assert sender.startswith('SRS0=')
    assert 'Delivered-To: toru-shop@torus.test' in (text if isinstance(text, str) else text.decode())
    # and the way is explained
    assert 'srs' in s.server.hato('route', sender).stdout


def test_postsrsd_tables_without_postsrsd(site):
    """main.cf as PostSRSd's README has it: where nothing listens, hato's own SRS takes its place."""
    s = site('''sender_canonical_maps = tcp:localhost:10001
sender_canonical_classes = envelope_sender
recipient_canonical_maps = tcp:localhost:10002
recipient_canonical_classes = envelope_recipient, header_recipient
''')
    s.send('shop@far.test', 'shop@torus.test')
    sender = s.arrived()[0]
    assert sender.startswith('SRS0=')
    s.send('', sender)
    assert s.arrived(1, s.far)[1] == ['shop@far.test']
    s.server.wait_log('tcp:localhost:10001: nothing listens there')


@pytest.fixture
def postsrsd(folder):
    if not os.path.exists('/usr/sbin/postsrsd'):
        pytest.skip('no postsrsd')
    forward, reverse = free_port(), free_port()
    with open(f'{folder}/postsrsd.secret', 'w') as f:
        f.write('one and the same secret\nan older one\n')
    p = subprocess.Popen(['/usr/sbin/postsrsd', f'-s{folder}/postsrsd.secret', '-dtorus.test', f'-f{forward}', f'-r{reverse}', '-4'],
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_port(forward)
    yield forward, reverse
    end_process(p)


def tcp_table(port, key):
    import socket, urllib.parse
    with socket.create_connection(('127.0.0.1', port), 10) as c:
        c.sendall(f'get {urllib.parse.quote(key, safe="@=+-./")}\n'.encode())
        code, _, text = c.makefile().readline().strip().partition(' ')
    return urllib.parse.unquote(text) if code == '200' else None


def test_beside_a_real_postsrsd(site, folder, postsrsd):
    """One secret, two programs: each takes what the other made."""
    s = site(f'srs_secrets = {folder}/postsrsd.secret\nsrs = yes\n')
    n = 0
    for sender in ['shop@far.test', 'Mixed.Case+tag@Sub.Elsewhere.test', 'a=b@far.test', 'x-y_z@far.test', 'SRS0=abcd=AA=x.test=y@far.test',
                   'SRS1=efgh=first.test==abcd=AA=x.test=y@far.test']:
        theirs = tcp_table(postsrsd[0], sender)
        s.send(sender, 'shop@torus.test')
        n += 1
        ours = s.arrived(n)[0]
        assert ours == theirs
        assert tcp_table(postsrsd[1], ours) == (sender if 'SRS1' not in sender else 'SRS0=abcd=AA=x.test=y@first.test')
        assert s.rcpt(theirs)[0] == 250


# --- the forward check

STRICT = '''strict.test TXT "v=spf1 ip4:127.0.0.9 -all"
_dmarc.strict.test TXT "v=DMARC1; p=reject"
quarantine.test TXT "v=spf1 ip4:127.0.0.77 -all"
_dmarc.quarantine.test TXT "v=DMARC1; p=quarantine"
forged.test TXT "v=spf1 ip4:127.0.0.77 -all"
'''


def test_what_nobody_proves_is_refused_at_the_door(site):
    s = site(records=STRICT, main='dmarc_reject = no\n')
    code, text = s.send('a@quarantine.test', 'shop@torus.test', expect=(550, 554))
    assert '5.7.1' in text and 'not forwarded' in text and 'DMARC of quarantine.test (p=quarantine)' in text
    s.send('', 'shop@torus.test', author='a@quarantine.test')  # a report is never refused for that
    s.arrived()
    s.empty()
    assert len(s.gmail.messages) == 1
    assert s.server.hato('why', 'shop@torus.test').stdout.count('refused') >= 1


def test_what_only_fails_spf_goes_as_its_owner_chooses(site):
    """Its domain asks nobody to refuse it (no DMARC): by default it is sent on, with a sender of ours."""
    s = site(records=STRICT, main='forward_keep_recipient = bob@home.test\n')
    s.server.account('bob@home.test')
    s.send('a@forged.test', 'shop@torus.test')
    assert s.arrived()[0].startswith('SRS0=')
    s.server.hato('alias', 'forward', 'shop@torus.test', 'keep')
    s.send('a@forged.test', 'shop@torus.test', 'kept')
    s.server.wait_message('bob@home.test', 'kept')
    s.server.wait_log('SPF of forged.test fails and nobody has signed it')
    s.empty()
    assert len(s.gmail.messages) == 1


def test_a_local_recipient_gets_it_while_the_forward_does_not(site):
    """Taken for one and not forwarded for the other: the sender hears of it, once; a doubtful one does not."""
    s = site(records=STRICT, main='dmarc_reject = no\nforward_keep_recipient = carol@home.test\n')
    for who in ['bob@home.test', 'carol@home.test']:
        s.server.account(who)
    s.send('a@far.test', ['bob@home.test', 'shop@torus.test'], author='a@quarantine.test')
    s.server.wait_log(r'to=<toru@gmail.test>, orig_to=<shop@torus.test>, status=not forwarded')
    sender, to, text = s.arrived(1, s.far)
    assert sender == '' and to == ['a@far.test']
    text = text if isinstance(text, str) else text.decode()
    assert '5.7.1' in text and 'not forwarded: it fails DMARC of quarantine.test' in text
    s.send('a@quarantine.test', ['bob@home.test', 'shop@torus.test'], 'forged')
    s.server.wait_message('carol@home.test', 'forged', folder='Junk')
    s.empty()
    assert not s.gmail.messages and len(s.far.messages) == 1


def test_an_author_whose_record_names_us_needs_no_signature(site):
    """SPF passes at the next server, too, since his own envelope is kept: nothing is lost."""
    s = site(records=STRICT + '_dmarc.us.test TXT "v=DMARC1; p=reject"\nmail.torus.test A 127.0.0.1\n', main='forward_failing = keep\nforward_keep_recipient = bob@home.test\n')
    s.server.account('bob@home.test')
    s.send('a@us.test', 'shop@torus.test')
    assert s.arrived()[0] == 'a@us.test'
    s.send('a@strict.test', 'shop@torus.test', 'kept')
    s.server.wait_message('bob@home.test', 'kept')


@pytest.mark.parametrize('table', ['header_checks', 'smtp_header_checks'])
def test_a_signature_that_we_break_does_not_count(site, folder, table):
    """Broken at the door, or as it would leave."""
    with open(f'{folder}/checks', 'w') as f:
        f.write('/^Subject: change/ REPLACE Subject: changed\n/^Subject: add/ PREPEND X-Seen: yes\n')
    s = site(records=signed_records(), main=f'forward_failing = keep\nforward_keep_recipient = bob@home.test\n{table} = regexp:{folder}/checks\n')
    s.server.account('bob@home.test')

    def send(subject):
        with s.server.dialogue(source='127.0.0.9') as talk:
            talk.ehlo()
            talk.envelope('bounce@far.test', 'shop@torus.test')
            talk.say('DATA', 354)
            talk.say(signed(MAIL.replace('Subject: order', f'Subject: {subject}')) + '.', 250)
    send('order')
    s.arrived()
    send('add a field')
    s.arrived(2)
    send('change it')
    s.server.wait_message('bob@home.test', 'changed' if table == 'header_checks' else 'change it')
    s.server.wait_log('the signature of signed.test .p=reject. is no longer good')
    s.empty()
    assert len(s.gmail.messages) == 2


@pytest.mark.parametrize('choice', ['keep', 'send'])
def test_unauthenticated_mail_kept_or_sent(site, choice):
    s = site(records=STRICT, main=f'dmarc_reject = no\nforward_unauthenticated = {choice}\nforward_keep_recipient = bob@home.test\n')
    s.server.account('bob@home.test')
    s.send('a@quarantine.test', 'shop@torus.test')
    if choice == 'keep':
        s.server.wait_message('bob@home.test', 'letter', folder='Junk')
        s.empty()
        assert not s.gmail.messages
    else:
        assert s.arrived()[0].startswith('SRS0=')


def test_what_only_spf_proves_goes_as_its_owner_chooses(site):
    s = site(records=STRICT, main='forward_keep_recipient = bob@home.test\n')
    s.server.account('bob@home.test')
    s.send('a@strict.test', 'shop@torus.test', 'sent')
    assert s.arrived()[0].startswith('SRS0=')
    s.server.hato('alias', 'forward', 'shop@torus.test', 'keep')
    assert 'keep' in s.server.hato('alias', 'forward').stdout
    s.send('a@strict.test', 'shop@torus.test', 'kept')
    s.server.wait_message('bob@home.test', 'kept')
    s.send('a@strict.test', 'two@torus.test', 'the others are as before')
    s.arrived(2)
    s.server.hato('alias', 'forward', 'shop@torus.test', 'wrap')
    s.send('a@strict.test', 'shop@torus.test', 'wrapped', body='the text\n')
    sender, to, text = s.arrived(3)
    text = text if isinstance(text, str) else text.decode()
    assert sender == 'postmaster@torus.test' and to == ['toru@gmail.test']
    import email
    m = email.message_from_string(text)
    assert m.get_content_type() == 'message/rfc822' and m['Subject'] == 'Fwd: wrapped' and 'shop@torus.test' in m['From']
    inside = m.get_payload()[0]
    assert inside['From'] == 'a@strict.test' and inside['Subject'] == 'wrapped' and 'the text' in inside.get_payload()
    s.server.hato('alias', 'forward', 'shop@torus.test', 'default')
    s.send('a@strict.test', 'shop@torus.test', 'sent again')
    assert s.arrived(4)[0].startswith('SRS0=')
    code = s.server.hato('alias', 'forward', 'shop@torus.test', 'nonsense', check=False).returncode
    assert code == 64


SIGNER = {}


def signed(text, domain='signed.test', selector='s'):
    """The message with a DKIM signature of dkimpy's; its key's record is in SIGNER['record']."""
    import dkim
    if not SIGNER:
        pem = subprocess.run(['openssl', 'genrsa', '-traditional', '1024'], capture_output=True, check=True).stdout
        der = subprocess.run(['openssl', 'rsa', '-pubout', '-outform', 'DER'], input=pem, capture_output=True, check=True).stdout
        import base64
        SIGNER.update(pem=pem, record=f'v=DKIM1; k=rsa; p={base64.b64encode(der).decode()}')
    text = text.replace('\r\n', '\n').replace('\n', '\r\n').encode()
    return (dkim.sign(text, selector.encode(), domain.encode(), SIGNER['pem'], canonicalize=(b'relaxed', b'relaxed')) + text).decode()


MAIL = 'From: Shop <shop@signed.test>\nTo: toru-shop@torus.test\nSubject: order\nDate: Sun, 22 Nov 2026 04:31:39 +0000\nMessage-ID: <1@signed.test>\n\nThe order.\n'


def signed_records():
    signed(MAIL)
    return STRICT + f'''signed.test TXT "v=spf1 ip4:127.0.0.9 -all"
s._domainkey.signed.test TXT "{SIGNER['record']}"
_dmarc.signed.test TXT "v=DMARC1; p=reject"
mail.torus.test A 127.0.0.1
torus.test TXT "v=spf1 ip4:127.0.0.1 -all"
torus.test MX 10 mail.torus.test.
'''


@pytest.mark.parametrize('running', [True, False])
def test_the_forward_check_explains(site, running):
    s = site(records=signed_records())
    if not running:
        s.server.stop()

    def check(text, *more):
        return s.server.hato('forward', 'check', 'shop@torus.test', *more, input=text).stdout
    at = ['--client-ip', '127.0.0.9', '--helo', 'mx.far.test']
    said = check(signed(MAIL), *at, '--mail-from', 'bounce@signed.test')
    assert 'forwarded: toru@gmail.test' in said and 'pass, by the author' in said, said
    assert 'next server can see that it is from signed.test. It should be taken' in ' '.join(said.split()), said
    assert re.search(r'next server: spf +torus.test -> pass', said) and 'SRS0=' in said
    strict = MAIL.replace('signed.test', 'strict.test')
    said = check(strict, *at, '--mail-from', 'a@strict.test')
    assert 'fail (p=reject)' in said and 'forwarded: toru@gmail.test' in said and 'only SPF proves' in said
    assert 'strict.test, which asks that such mail be refused. To keep it here: hato alias forward shop@torus.test keep' in ' '.join(said.split()), said
    s.server.hato('alias', 'forward', 'shop@torus.test', 'wrap')
    said = check(strict, *at, '--mail-from', 'a@strict.test')
    assert 'wrapped: toru@gmail.test' in said and 'attachment of a message of our own' in said, said
    import json
    j = json.loads(check(MAIL.replace('signed.test', 'quarantine.test'), *at, '--mail-from', 'a@quarantine.test', '--json'))
    assert j['ends'][0]['kind'] == 'refused' and 'fails DMARC of quarantine.test' in j['ends'][0]['text']
    said = check(MAIL.replace('signed.test', 'forged.test'), *at, '--mail-from', 'a@forged.test')
    assert 'SPF of forged.test fails and nobody has signed it' in said and 'wrapped: toru@gmail.test' in said
    assert any(x['what'].startswith('the next server') for x in j['steps'])
    done = s.server.hato('forward', 'check', 'shop@torus.test', input='no message at all', check=False)
    assert done.returncode == 65
    assert '--client-ip says' in check(signed(MAIL))


def test_the_forward_check_of_a_large_message(site, folder):
    """The body streams through; a header that goes on for ever is no message."""
    s = site()
    with open(f'{folder}/large', 'wb') as f:
        f.write(b'From: x@author.test\nSubject: large\n\n' + b'line of text\n' * 6_000_000)
    with open(f'{folder}/header', 'wb') as f:
        f.write(b'From: x@author.test\n' + b'X-More: of this\n' * 4_000_000)
    # by a small process between: this one's own memory counts for what it starts
    measure = 'import resource as r, subprocess as s, sys; c = s.call(sys.argv[1:]); print("KiB", r.getrusage(r.RUSAGE_CHILDREN).ru_maxrss); sys.exit(c)'
    for name, code in (('large', 0), ('header', 65)):
        with open(f'{folder}/{name}', 'rb') as f:
            done = subprocess.run(['/usr/bin/python3', '-c', measure, HATO, '-c', s.server.folder, 'forward', 'check', 'shop@torus.test'], stdin=f,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == code, done.stdout
        assert int(re.search(r'KiB (\d+)', done.stdout)[1]) < 50_000, done.stdout
    assert 'larger than 1 MiB' in done.stdout


def test_a_unix_users_forward(site, folder):
    """~/.forward takes the same way out; what may not be sent on stays in the user's own mailbox."""
    from unixuser import UnixUser
    os.makedirs(f'{folder}/spool')
    os.chmod(f'{folder}/spool', 0o1777)
    s = site(records=STRICT, main=f'dmarc_reject = no\nmydestination = unix.test\nalias_maps =\nmail_spool_directory = {folder}/spool\nlocal_recipient_maps =\n')
    user = UnixUser(folder, 'f')
    try:
        user.write('.forward', 'toru@gmail.test\n')
        s.send('shop@far.test', f'{user.name}@unix.test')
        sender, to, _ = s.arrived()
        assert sender.startswith('SRS0=') and to == ['toru@gmail.test']
        s.send('a@quarantine.test', f'{user.name}@unix.test', 'stays here')
        wait_until(lambda: os.path.exists(f'{folder}/spool/{user.name}'), 20, lambda: s.server.log()[-3000:])
        with open(f'{folder}/spool/{user.name}') as f:
            assert 'stays here' in f.read()
        s.empty()
        assert len(s.gmail.messages) == 1
    finally:
        user.gone()


def test_a_host_named_as_its_domain(site):
    """myhostname = torus.test makes mydomain = test, which is nobody's sender."""
    s = site('myhostname = torus.test\n')
    s.send('shop@far.test', 'shop@torus.test')
    assert s.arrived()[0].endswith('=far.test=shop@torus.test')
