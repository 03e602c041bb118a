# SPDX-License-Identifier: Apache-2.0
"""`hato check-mail`: what the door would find out about a message, from a file, for people and for programs; and the
settings that come from an opendmarc.conf brought along."""
import base64, json, os, re, smtplib, subprocess
import dkim, pytest
import dns.rdata, dns.rdataclass, dns.rdatatype, dns.reversename
import dnsd
from around import *

IP = '192.0.2.1'


def der(pem):
    return base64.b64encode(subprocess.run(['openssl', 'rsa', '-pubout', '-outform', 'DER'], input=pem, capture_output=True, check=True).stdout).decode()


@pytest.fixture(scope='module')
def key():
    return subprocess.run(['openssl', 'genrsa', '-traditional', '2048'], capture_output=True, check=True).stdout


@pytest.fixture(scope='module')
def world(key):
    ptr = dns.reversename.from_address(IP).to_text(omit_final_dot=True)
    facts = {
        ('good.test', 'TXT'): f'v=spf1 ip4:{IP} -all', ('s._domainkey.good.test', 'TXT'): f'v=DKIM1; k=rsa; p={der(key)}',
        ('_dmarc.good.test', 'TXT'): 'v=DMARC1; p=reject; sp=quarantine', (ptr, 'PTR'): 'mx.good.test.', ('mx.good.test', 'A'): IP,
        ('1.2.0.192.bad.list.test', 'A'): '127.0.0.2', ('1.2.0.192.bad.list.test', 'TXT'): 'seen sending\x1b[31m spam',
    }

    def records(name, kind):
        text = name.to_text(omit_final_dot=True)
        value = facts.get((text, dns.rdatatype.to_text(kind)))
        if value is None:
            return [] if any(n == text or n.endswith('.' + text) for n, _ in facts) else None
        return [dnsd.txt(value) if kind == dns.rdatatype.TXT else dns.rdata.from_text(dns.rdataclass.IN, kind, value)]
    server = dnsd.Dnsd(records, ttl=0)
    yield server
    server.stop()


@pytest.fixture
def box(tmp_path, world):
    class Box:
        top = tmp_path

        def settings(self, main=''):
            (tmp_path / 'main.cf').write_text(f'compatibility_level = 3.6\nmyhostname = mx.home.test\ndata_directory = {tmp_path}/data\n'
                                              f'queue_directory = {tmp_path}/queue\ndns_resolvers = 127.0.0.1:{world.port}\n{main}')

        def hato(self, *words, input=None):
            return subprocess.run([HATO, '-c', str(tmp_path), *map(str, words)], capture_output=True, input=input)

        def check(self, message, *more, ip=IP, helo='mx.good.test', sender='ann@good.test'):
            (tmp_path / 'm').write_bytes(message)
            return self.hato('check-mail', '--json', '--client-ip', ip, '--helo', helo, '--mail-from', sender, *more, tmp_path / 'm')
    b = Box()
    b.settings()
    return b


PLAIN = b'From: Ann <ann@good.test>\r\nTo: bob@home.test\r\nSubject: hello\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\n\r\nsome text\r\nmore\r\n'


def signed(message, key, **more):
    return dkim.sign(message, b's', b'good.test', key, **more) + message


@pytest.mark.parametrize('line', [b'X-Field: v\r\n', b' folded\n', b'x'])
def test_a_header_of_100_mb_is_no_message(box, line):
    """It stops reading at 1 MiB of header, which is what the door takes."""
    big = PLAIN.split(b'\r\n\r\n')[0] + b'\r\nSubject: x\n' + line * (100_000_000 // len(line)) + b'\r\n\r\nbody\r\n'
    r = box.check(big)
    assert r.returncode == 65 and b'larger than 1 MiB' in r.stderr and not r.stdout


@pytest.mark.core
def test_contract(box, key):
    r = box.check(signed(PLAIN, key))
    assert r.returncode == 0, r.stderr
    said = json.loads(r.stdout)
    assert said['spf']['result'] == 'pass' and said['spf']['domain'] == 'good.test' and 'reason' in said['spf']
    assert [(d['result'], d['domain'], d['selector'], d['algorithm'], d['reason']) for d in said['dkim']] == [('pass', 'good.test', 's', 'rsa-sha256', '')]
    assert {k: said['dmarc'][k] for k in ('result', 'policy', 'disposition', 'domain')} == \
        {'result': 'pass', 'policy': 'reject', 'disposition': 'none', 'domain': 'good.test'}
    assert said['arc']['result'] == 'none' and said['arc']['chain'] == []
    assert said['iprev'] == {'result': 'pass', 'address': IP, 'name': 'mx.good.test'} and said['helo']['result'] == 'pass'
    assert said['authentication_results'].startswith('mx.home.test;')


def test_verdicts(box, key):
    whole = signed(PLAIN, key)
    changed = json.loads(box.check(whole.replace(b'some text', b'other text'), ip='192.0.2.66', helo='liar', sender='<>').stdout)
    assert changed['dkim'][0]['result'] == 'fail' and changed['dkim'][0]['reason']
    assert changed['dmarc'] | {'result': 'fail', 'policy': 'reject', 'disposition': 'reject'} == changed['dmarc']
    assert changed['spf']['identity'] == 'helo' and changed['iprev']['result'] == 'permerror' and changed['helo']['result'] == 'permerror'
    unix = json.loads(box.check(whole.replace(b'\r\n', b'\n')).stdout)
    assert unix['dkim'][0]['result'] == 'pass'  # as it lies in a Maildir
    mbox = json.loads(box.check(b'From ann@good.test Sun Nov 22 12:00:00 2026\n' + whole.replace(b'\r\n', b'\n')).stdout)
    assert mbox['dkim'][0]['result'] == 'pass'
    cut = json.loads(box.check(whole.rstrip(b'\r\n')).stdout)
    assert cut['dkim'][0]['result'] == 'pass'
    sub = json.loads(box.check(b'From: x@sub.good.test\r\n\r\n', ip='192.0.2.66').stdout)
    assert sub['dmarc'] | {'policy': 'quarantine', 'disposition': 'quarantine', 'domain': 'sub.good.test', 'record': 'good.test'} == sub['dmarc']
    nobody = json.loads(box.check(b'Subject: x\n\ntext\n', sender='a@nothing.test').stdout)
    assert nobody['dmarc']['result'] == 'permerror' and nobody['spf']['result'] == 'none' and nobody['dkim'] == []
    six = json.loads(box.check(whole, ip='2001:db8::1').stdout)
    assert six['spf']['result'] == 'fail' and six['dmarc']['result'] == 'pass'


@pytest.mark.parametrize('junk', [b'', b'\r\n\r\ntext', b'hello world\n', b'\x89PNG\r\n\x1a\n\0\0', b'From: a\0b@c\n\n', b'<html>: x\n', b'A: ' + b'x' * (1 << 21)],
                         ids=['empty', 'no-header', 'words', 'picture', 'nul', 'almost', 'endless'])
def test_no_message(box, junk):
    r = box.check(junk)
    want = 0 if junk.startswith(b'<html>:') else 65  # RFC 5322 allows that name
    assert r.returncode == want, (r.stdout, r.stderr)
    assert want == 0 or (r.stdout == b'' and b'this is no message' in r.stderr)


def test_usage(box):
    assert box.hato('check-mail', box.top / 'm').returncode == 64
    assert box.hato('check-mail', '--client-ip', 'nowhere', box.top / 'm').returncode == 64
    assert box.hato('check-mail', '--client-ip', IP).returncode == 64
    assert box.hato('check-mail', '--client-ip', IP, box.top / 'gone').returncode == 66


def test_large_body_streams(box, key, tmp_path):
    whole = signed(PLAIN + (b'x' * 70 + b'\r\n') * 1000000, key)
    (tmp_path / 'm').write_bytes(whole)
    code = 'import resource,subprocess,sys;p=subprocess.run(sys.argv[1:],stdout=sys.stdout);print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)'
    r = subprocess.run(['python3', '-c', code, HATO, '-c', str(tmp_path), 'check-mail', '--json', '--client-ip', IP, '--mail-from', 'a@good.test', str(tmp_path / 'm')],
                       capture_output=True, text=True)
    said, rss = r.stdout.strip().split('\n')
    assert json.loads(said)['dkim'][0]['result'] == 'pass'
    if 'san' not in HATO:
        assert int(rss) < 60000  # KiB, of a 70 MB message


def test_for_people(box, key):
    box.settings('check_dnsbl_sites = bad.list.test, clean.list.test*2\n')
    (box.top / 'm').write_bytes(signed(PLAIN, key).replace(b'some text', b'\x1b[2Jother'))
    r = box.hato('check-mail', '--client-ip', IP, '--helo', 'mx.good.test', '--mail-from', 'ann@good.test', '-', input=(box.top / 'm').read_bytes())
    text = r.stdout.decode()
    assert r.returncode == 0 and '\x1b' not in text
    assert re.search(r'(?m)^SPF    pass       192\.0\.2\.1 may send for good\.test \(ip4:192\.0\.2\.1\)$', text), text
    assert re.search(r'(?m)^DKIM   fail       good\.test \(selector s, rsa-sha256(, 2048 bits)?\): .+\n +-> let signing be the last step', text), text
    assert re.search(r'(?m)^DMARC  pass       good\.test is proved by SPF; its policy for the rest is reject$', text), text
    assert re.search(r'(?m)^PTR    pass ', text) and re.search(r'(?m)^HELO   pass ', text)
    assert re.search(r'(?m)^DNSBL  listed     bad\.list\.test lists 192\.0\.2\.1: seen sending\?\[31m spam\n +-> find out why', text), text
    assert re.search(r'(?m)^DNSBL  clean      clean\.list\.test does not list', text)
    assert re.search(r'(?m)^FORM   poor       it has no Message-ID\n +-> let the program', text) or 'FORM   good' in text, text
    assert text.rstrip().endswith(f'{len(re.findall("(?m)^ +-> ", text))} things can be done better: see the arrows.')


@pytest.mark.parametrize('mail, word, text', [
    (b'From: a@good.test\nTo: b@home.test\n\nx\n', 'broken', 'no Date header field'),
    (b'From: a@good.test\nFrom: b@evil.test\nDate: Mon, 23 Nov 2026 13:00:00 +0000\n\nx\n', 'broken', '2 From header fields'),
    (b'From: a@good.test\nDate: Mon, 23 Nov 2026 13:00:00 +0000\n\nx\n', 'poor', 'no Message-ID'),
    (b'From: a@good.test\nDate: Mon, 23 Nov 2026 13:00:00 +0000\nMessage-ID: <1@good.test>\nPrecedence: bulk\n\nx\n', 'poor', 'one click'),
    (b'From: a@good.test\nDate: Mon, 23 Nov 2026 13:00:00 +0000\nMessage-ID: <1@good.test>\n\nx\n', 'good', 'what it must have')])
def test_the_form_of_the_header(box, mail, word, text):
    """What large receivers refuse mail for, beside what proves its author."""
    (box.top / 'm').write_bytes(mail)
    said = box.hato('check-mail', '--client-ip', IP, '--mail-from', 'ann@good.test', box.top / 'm').stdout.decode()
    assert re.search(rf'(?m)^FORM   {word} +.*{text}', said), said


def test_proofs_of_others_only(box):
    """No policy says that they do not count, and Gmail minds all the same."""
    (box.top / 'm').write_bytes(b'From: a@elsewhere.test\nDate: Mon, 23 Nov 2026 13:00:00 +0000\n\nx\n')
    said = box.hato('check-mail', '--client-ip', IP, '--mail-from', 'ann@good.test', box.top / 'm').stdout.decode()
    assert 'what passed is of other domains' in said and 'sign with DKIM as elsewhere.test' in said, said


OPENDMARC = '''# as Debian's, and the how-to's changes
AuthservID OpenDMARC
PidFile /run/opendmarc/opendmarc.pid # a comment
PublicSuffixList /usr/share/publicsuffix/public_suffix_list.dat
RejectFailures {reject}
Socket local:{top}/queue/opendmarc/opendmarc.sock
Syslog true
TrustedAuthservIDs subdomain.domain.tld, HOSTNAME
UMask 0002
UserID opendmarc
IgnoreHosts {top}/opendmarc/ignore.hosts
IgnoreAuthenticatedClients true
RequiredHeaders true
'''
IGNORE = 'localhost\n127.0.0.1\n::1\n172.16.5.0/12\nfe80::/64 # mine\nrelay.friend.test\nnonsense/99\n'


def settings_of(box):
    out = subprocess.run([os.path.join(os.path.dirname(HATO), 'postconf'), '-c', str(box.top)], capture_output=True, text=True).stdout
    return dict(line.split(' = ', 1) if ' = ' in line else (line.rstrip(' ='), '') for line in out.splitlines())


def test_opendmarc_conf(box):
    """Spec ids S61 to S71, and the trap S69: ignore.hosts is in the folder above the one that is named."""
    os.makedirs(box.top / 'opendmarc')
    (box.top / 'opendmarc/opendmarc.conf').write_text(OPENDMARC.format(top=box.top, reject='false') + 'Wrong yes\nHistoryFile /var/run/opendmarc/opendmarc.dat\n')
    (box.top / 'ignore.hosts').write_text(IGNORE)
    box.settings(f'opendmarc_config = {box.top}/opendmarc/opendmarc.conf\nsmtpd_milters = local:opendmarc/opendmarc.sock\n')
    r = box.hato('check')
    said = r.stderr.decode() + r.stdout.decode()
    assert f'line 11: IgnoreHosts: {box.top}/opendmarc/ignore.hosts: no such file (but there is {box.top}/ignore.hosts: move it' in said, said
    assert 'Wrong: no such setting of OpenDMARC' in said
    s = settings_of(box)
    assert s['dmarc_exempt_networks'] == '127.0.0.1/32 [::1]/128'
    assert (s['authserv_id'], s['dmarc_reject'], s['dmarc_quarantine'], s['dmarc_required_headers']) == ('OpenDMARC', 'no', 'none', 'yes')
    assert s['trusted_authserv_ids'].startswith('subdomain.domain.tld ') and 'HOSTNAME' not in s['trusted_authserv_ids']
    os.rename(box.top / 'ignore.hosts', box.top / 'opendmarc/ignore.hosts')
    said = box.hato('check').stderr.decode()
    assert 'no such file' not in said and 'line 7: IgnoreHosts: "nonsense/99" is no address' in said
    s = settings_of(box)
    assert s['dmarc_exempt_networks'] == '127.0.0.0/8 [::1]/128 127.0.0.1/32 [::1]/128 172.16.0.0/12 [fe80::]/64'
    assert s['dmarc_exempt_hosts'].split() == ['localhost', 'relay.friend.test']
    # main.cf is stronger, and refusing is asked for
    (box.top / 'opendmarc/opendmarc.conf').write_text(OPENDMARC.format(top=box.top, reject='true') + 'HoldQuarantinedMessages Yes\nRejectString no $mail from %s\n')
    box.settings(f'opendmarc_config = {box.top}/opendmarc/opendmarc.conf\nauthserv_id = mine\n')
    s = settings_of(box)
    assert (s['authserv_id'], s['dmarc_reject'], s['dmarc_quarantine'], s['dmarc_temperror_action']) == ('mine', 'yes', 'hold', 'defer')
    assert s['dmarc_reject_text'] in ('no $mail from %s', 'no $$mail from %s')


def test_opendmarc_conf_is_found(box):
    """Without a setting: by the socket that smtpd_milters name (S65, S72). Debian's own file is the usual one."""
    if not os.path.exists('/etc/opendmarc.conf'):
        pytest.skip('no /etc/opendmarc.conf')
    socket = re.search(r'(?m)^Socket\s+local:(\S+)', open('/etc/opendmarc.conf').read())
    if not socket:
        pytest.skip('another Socket there')
    box.settings('smtpd_milters = inet:localhost:8891\n')
    assert settings_of(box)['dmarc_reject'] == 'yes'
    box.settings(f'smtpd_milters = inet:localhost:8891, unix:{socket[1]}\n')
    assert settings_of(box)['dmarc_reject'] == 'no'
    assert b'hato does itself what OpenDMARC does' in box.hato('check').stderr
    box.settings(f'smtpd_milters = unix:{socket[1]}\nopendmarc_config = none\n')
    assert settings_of(box)['dmarc_reject'] == 'yes'


def dead_dns(box, key, address, main=''):
    import time
    (box.top / 'main.cf').write_text(f'compatibility_level = 3.6\nmyhostname = mx.home.test\ndata_directory = {box.top}/data\n'
                                     f'dns_resolvers = {address}\n{main}')
    (box.top / 'm').write_bytes(signed(PLAIN, key))
    began = time.time()
    r = box.hato('check-mail', '--json', '--client-ip', IP, '--helo', 'mail.good.test', '--mail-from', 'ann@good.test', box.top / 'm')
    took = time.time() - began
    assert r.returncode == 0, r.stderr
    said = json.loads(r.stdout)
    assert (said['spf']['result'], said['dkim'][0]['result'], said['dmarc']['result'], said['iprev']['result']) == ('temperror',) * 4
    began = time.time()
    assert box.check(b'hello world\n').returncode == 65 and time.time() - began < 3 * SLOW  # DNS is not waited for
    print(f'dead DNS: {took:.1f} s')
    return took


def test_dead_dns_costs_one_deadline_for_all(box, key):
    """Keys, SPF and the policy share sender_check_timeout: what does not come is temperror, and nobody waits three times."""
    with dnsd.Dnsd(lambda name, kind: dnsd.TIMEOUT if len(name) > 1 else None) as slow:  # a resolver that knows nothing but the root
        took = dead_dns(box, key, f'{slow.address}:{slow.port}', 'sender_check_timeout = 4s\ncheck_dnsbl_sites =\n')
    assert 3 < took < 25 * SLOW, took  # names of the address are asked for as well, with a time of their own


@pytest.mark.parametrize('kind', ['refused', 'silent'])
def test_resolvers_that_are_not_there_are_not_waited_for(box, key, kind):
    """RFC 7208 wants twenty seconds for a slow domain; nobody has to wait that long for nobody."""
    import socket
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(('127.0.0.1', 0))
        address = f'127.0.0.1:{s.getsockname()[1]}'
        if kind == 'refused':
            s.close()
        assert dead_dns(box, key, address, 'check_dnsbl_sites = bl.test\n') < 10 * SLOW


# ---- check@: answers by mail ----

@pytest.fixture
def door(hosts, world):
    """Our server, and the sender's own, on another address of loopback, which gets the answers."""
    def make(main=''):
        theirs = hosts('mx.good.test', accounts=['ann@good.test', 'bounces@good.test'])
        ours = hosts('mx.home.test', f'smtpd_authorized_xclient_hosts = 127.0.0.0/8\nsmtpd_peername_lookup = no\ncheck_dnsbl_sites = bad.list.test\n'
                     f'transport_maps = inline:{{good.test=smtp:[{theirs.address}]:{theirs.ports["smtp"]}}}\n{main}',
                     networks='127.0.0.2/32', dns=world, accounts=['bob@home.test'])
        ours.theirs = theirs
        return ours
    return make


def offer(server, message, *to, sender='ann@good.test', ip=IP):
    with server.dialogue() as talk:
        talk.ehlo()
        talk.say(f'XCLIENT ADDR={ip} NAME=mx.good.test', 220)
        talk.ehlo('mx.good.test')
        r = talk.say(f'MAIL FROM:<{sender}>')
        for one in to or ['check@home.test']:
            r = talk.say(f'RCPT TO:<{one}>')
        if r[0] != 250:
            return r
        talk.say('DATA', 354)
        talk.raw(message.decode())
        return talk.say('.')


def test_check_address(door, key):
    server = door()
    wait_until(lambda: len(json.loads(server.hato('dkim', 'show', 'home.test', '--json', check=False).stdout or '[]')) >= 2, 30, 'our keys to be made')
    r = offer(server, signed(PLAIN.replace(b'Subject: hello', b'Subject: <b>hello</b>\r\nMessage-ID: <q1@good.test>'), key))
    assert r[0] == 250 and 'checked, the answer is' in r[1], r
    found = server.theirs.wait_message('ann@good.test', lambda m: (m['Subject'] or '').startswith('Mail check:'), seconds=15)
    assert found['From'] == 'Mail check <check@home.test>' and found['Auto-Submitted'] == 'auto-replied' and found['In-Reply-To'] == '<q1@good.test>'
    assert found['Return-Path'] == '<>' and 'd=home.test' in ' '.join(found.get_all('DKIM-Signature', []))
    plain, page = (p.get_payload(decode=True).decode() for p in found.get_payload())
    for check in ('SPF    pass', 'DKIM   pass', 'DMARC  pass', 'ARC    none', 'PTR    ', 'HELO   pass', 'TLS    no', 'DNSBL  listed'):
        assert re.search(f'(?m)^[+~!] {check}', plain), (check, plain)
    assert '<th align="left">DMARC</th>' in page and '&rarr;' in page and 'Authentication-Results: mx.home.test;' in ' '.join(page.split())
    # beside other recipients, who get it as usual
    assert offer(server, signed(PLAIN, key), 'bob@home.test', 'check@home.test')[0] == 250
    server.wait_message('bob@home.test', lambda m: m['Subject'] == 'hello', seconds=10)
    wait_until(lambda: len(server.theirs.messages('ann@good.test')) == 2, 10, 'the second answer')


def test_check_address_answers_nobody_else(door, key):
    server = door('check_rate_limit = 1\n')
    proved = signed(PLAIN, key)
    for message, how, why in [
        (PLAIN, dict(ip='192.0.2.66'), r'550 5\.7\.1 rejected by DMARC policy'),
        (PLAIN.replace(b'good.test', b'lax.test'), dict(sender='x@lax.test', ip='192.0.2.66'), r'550 5\.7\.1 .*not answered: neither SPF nor DKIM proves that it comes from lax\.test: spf=none'),
        (proved, dict(sender=''), '550 5.7.1 .*not answered: it has no sender'),
        (proved, dict(sender='bounces@good.test'), '550 .*a list or a machine'),
        (b'Auto-Submitted: auto-replied\r\n' + proved, {}, '550 .*a list or a machine'),
        (b'List-Id: <x.good.test>\r\n' + proved, {}, '550 .*a list or a machine'),
    ]:
        r = offer(server, message, **how)
        assert re.search(why, f'{r[0]} {r[1]}'), (r, why)
    assert offer(server, proved)[0] == 250
    assert offer(server, proved)[0] == 452
    assert len(server.messages('bob@home.test')) == 0
    # nobody's mailbox to our own users, and a real one comes first
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        server.send('bob@home.test', 'check@home.test', PLAIN.decode(), service='submission', user='bob@home.test')
    server.account('check@home.test')
    assert 'queued as' in offer(server, proved)[1]
    server.wait_message('check@home.test', lambda m: m['Subject'] == 'hello', seconds=10)


def test_check_address_off(door, key):
    assert offer(door('check_address =\n'), signed(PLAIN, key))[0] == 550


def test_check_address_is_of_domains_whose_mail_ends_here(door, key):
    """check@ of a domain that is only relayed, aliased or somebody else's is that domain's business."""
    server = door('mydestination = other.test\nvirtual_alias_domains = alias.test\nrelay_domains = relay.test\n'
                  'virtual_alias_maps = inline:{{info@alias.test = bob@home.test}}\nrelay_recipient_maps = inline:{{a@relay.test = x}}\n')
    proved = signed(PLAIN, key)
    for domain, why in (('alias.test', 'User unknown in virtual alias table'), ('relay.test', 'User unknown in relay recipient table'),
                        ('elsewhere.test', 'Relay access denied')):
        r = offer(server, proved, f'check@{domain}')
        assert r[0] in (550, 554) and why in r[1], (domain, r)
    for domain in ('home.test', 'other.test'):
        assert 'checked, the answer is' in offer(server, proved, f'check@{domain}')[1]
