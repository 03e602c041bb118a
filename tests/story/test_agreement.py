# SPDX-License-Identifier: Apache-2.0
"""The same messages before hato, rspamd and OpenDMARC: who says what about SPF, DKIM, DMARC and ARC. Where they differ, the
difference is in the table below with its reason; nothing else may differ."""
import base64, copy, functools, http.client, json, os, re, subprocess
import dkim, pytest
import dns.rdatatype
import dnsd
from around import *

IP, OTHER = '192.0.2.1', '192.0.2.66'
pytestmark = pytest.mark.root


@functools.cache
def key():
    pem = subprocess.run(['openssl', 'genrsa', '-traditional', '2048'], capture_output=True, check=True).stdout
    der = subprocess.run(['openssl', 'rsa', '-pubout', '-outform', 'DER'], input=pem, capture_output=True, check=True).stdout
    return pem, base64.b64encode(der).decode()


ZONES = {}
for domain, policy in {'good.test': 'p=reject', 'soft.test': 'p=quarantine', 'lax.test': 'p=none', 'strict.test': 'p=reject; adkim=s; aspf=s',
                       'sub.test': 'p=none; sp=reject', 'nopolicy.test': None, 'broken.test': 'p=maybe', 'soften.test': 'p=reject', 'neutral.test': 'p=none',
                       'typo.test': 'p=reject', 'twice.test': 'p=reject', 'seal.test': 'p=none'}.items():
    ZONES[domain] = [{'soften.test': f'v=spf1 ip4:{IP} ~all', 'neutral.test': 'v=spf1 ?all', 'typo.test': 'v=spf1 ipv4:1.2.3.4 -all'}.get(domain, f'v=spf1 ip4:{IP} -all')]
    if policy:
        ZONES[f'_dmarc.{domain}'] = [f'v=DMARC1; {policy}']
    ZONES[f'sub.{domain}'] = [f'v=spf1 ip4:{IP} -all']
ZONES['twice.test'] *= 2


def records(name, kind):
    text = name.to_text(omit_final_dot=True)
    if text.startswith('s._domainkey.'):
        found = [f'v=DKIM1; k=rsa; p={key()[1]}'] if text[len('s._domainkey.'):] in ZONES else None
    else:
        found = ZONES.get(text)
    if found is None:
        return [] if any(n.endswith('.' + text) for n in ZONES) else None
    return [dnsd.txt(t) for t in found] if kind == dns.rdatatype.TXT else []


def text(author, more=''):
    return (f'From: <{author}>\r\nTo: <ann@home.test>\r\nSubject: hello\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\n'
            f'Message-ID: <1@x.test>\r\n{more}\r\nsome text\r\n').encode()


def signed(message, domain, **more):
    return dkim.sign(message, b's', domain.encode(), key()[0], include_headers=[b'from', b'to', b'subject', b'date'], **more) + message


def sealed(message, domain='seal.test', results=b'spf=pass'):
    header = b'Authentication-Results: ' + domain.encode() + b'; ' + results + b'\r\n'
    return b''.join(dkim.arc_sign(header + message, b's', domain.encode(), key()[0], domain.encode(), include_headers=[b'from', b'to', b'subject'])) + message


def samples():
    """name: (message, sender, client)"""
    made = {}
    for d in ('good', 'soft', 'lax', 'strict', 'sub', 'nopolicy', 'broken', 'soften', 'neutral', 'typo', 'twice'):
        d += '.test'
        made[f'{d} spf'] = text(f'a@{d}'), f'a@{d}', IP
        made[f'{d} dkim'] = signed(text(f'a@{d}'), d), 'a@lax.test', OTHER
        made[f'{d} both'] = signed(text(f'a@{d}'), d), f'a@{d}', IP
        made[f'{d} nothing'] = text(f'a@{d}'), f'a@{d}', OTHER
        made[f'{d} changed'] = signed(text(f'a@{d}'), d).replace(b'some text', b'other text'), f'a@{d}', OTHER
        made[f'{d} foreign'] = signed(text(f'a@{d}'), 'lax.test' if d != 'lax.test' else 'good.test'), 'b@nopolicy.test', IP
        made[f'{d} below'] = text(f'a@sub.{d}'), f'a@{d}', IP
        made[f'{d} above'] = text(f'a@{d}'), f'a@sub.{d}', IP
        made[f'{d} below forged'] = text(f'a@sub.{d}'), 'b@nopolicy.test', IP
    made['simple'] = signed(text('a@good.test'), 'good.test', canonicalize=(b'simple', b'simple')), 'a@good.test', OTHER
    made['no key'] = signed(text('a@good.test'), 'good.test').replace(b's=s;', b's=t;'), 'a@good.test', OTHER
    made['null sender'] = text('a@good.test'), '', IP
    made['no author'] = text('x').replace(b'From: <x>\r\n', b''), 'a@good.test', IP
    made['two signatures'] = signed(signed(text('a@good.test'), 'lax.test'), 'good.test'), 'a@lax.test', OTHER
    made['sealed'] = sealed(signed(text('a@good.test'), 'good.test')), 'a@lax.test', OTHER
    made['sealed twice'] = sealed(sealed(signed(text('a@good.test'), 'good.test')), 'good.test', b'arc=pass'), 'a@lax.test', OTHER
    made['sealed, changed'] = sealed(signed(text('a@good.test'), 'good.test')).replace(b'some text', b'other text'), 'a@lax.test', OTHER
    made['seal broken'] = sealed(signed(text('a@good.test'), 'good.test')).replace(b'cv=none', b'cv=pass'), 'a@lax.test', OTHER
    return made


@pytest.fixture(scope='module')
def world():
    server = dnsd.Dnsd(records, ttl=60)
    yield server
    server.stop()


@pytest.fixture(scope='module')
def ours(world, tmp_path_factory):
    """name: verdicts of hato check-mail"""
    top, said = tmp_path_factory.mktemp('hato'), {}
    (top / 'main.cf').write_text(f'compatibility_level = 3.11\nmyhostname = mx.home.test\ndata_directory = {top}/data\ndns_resolvers = 127.0.0.1:{world.port}\n')
    for name, (message, sender, client) in samples().items():
        (top / 'm').write_bytes(message)
        r = subprocess.run([HATO, '-c', str(top), 'check-mail', '--json', '--client-ip', client, '--helo', 'mx.good.test', '--mail-from', sender, str(top / 'm')], capture_output=True)
        assert r.returncode == 0, (name, r.stderr)
        said[name] = json.loads(r.stdout)
    return said


def plain(v):
    """One word for each method, as all three can say it."""
    dkim_words = [d['result'] for d in v['dkim']]
    best = next((w for w in ('pass', 'temperror', 'permerror', 'fail') if w in dkim_words), 'none')
    if v['dmarc']['result'] == 'fail':
        return {'spf': v['spf']['result'], 'dkim': best, 'dmarc': f"fail {v['dmarc']['policy']}", 'arc': v['arc']['result']}
    return {'spf': v['spf']['result'], 'dkim': best, 'dmarc': v['dmarc']['result'], 'arc': v['arc']['result']}


def compare(ours, theirs, known, methods, counted, name):
    """known: {(start of the sample's name, method): why they differ}"""
    differ, used = [], set()
    for sample in theirs:
        for method in methods:
            a, b = plain(ours[sample])[method], theirs[sample][method]
            if a == b:
                continue
            why = [(k, w) for k, w in known.items() if sample.startswith(k[0]) and method == k[1]]
            used.update(k for k, _ in why)
            if not why:
                differ.append(f'{sample}: {method}: hato {a}, they {b} {json.dumps(ours[sample])}')
    total = len(theirs) * len(methods)
    counted(f'verdicts beside {name}', total - len(differ), total, f'explained: {sorted(used)}')
    assert not differ, '\n'.join(differ)
    assert used == set(known), f'they agree now: {set(known) - used}'


SYMBOLS = {
    'R_SPF_ALLOW': ('spf', 'pass'), 'R_SPF_FAIL': ('spf', 'fail'), 'R_SPF_SOFTFAIL': ('spf', 'softfail'), 'R_SPF_NEUTRAL': ('spf', 'neutral'),
    'R_SPF_DNSFAIL': ('spf', 'temperror'), 'R_SPF_PERMFAIL': ('spf', 'permerror'), 'R_SPF_NA': ('spf', 'none'),
    'R_DKIM_ALLOW': ('dkim', 'pass'), 'R_DKIM_REJECT': ('dkim', 'fail'), 'R_DKIM_TEMPFAIL': ('dkim', 'temperror'), 'R_DKIM_PERMFAIL': ('dkim', 'permerror'), 'R_DKIM_NA': ('dkim', 'none'),
    'DMARC_POLICY_ALLOW': ('dmarc', 'pass'), 'DMARC_POLICY_REJECT': ('dmarc', 'fail reject'), 'DMARC_POLICY_QUARANTINE': ('dmarc', 'fail quarantine'),
    'DMARC_POLICY_SOFTFAIL': ('dmarc', 'fail none'), 'DMARC_NA': ('dmarc', 'none'), 'DMARC_BAD_POLICY': ('dmarc', 'permerror'), 'DMARC_DNSFAIL': ('dmarc', 'temperror'),
    'DMARC_POLICY_ALLOW_WITH_FAILURES': ('dmarc', 'pass'),
    'ARC_ALLOW': ('arc', 'pass'), 'ARC_REJECT': ('arc', 'fail'), 'ARC_INVALID': ('arc', 'fail'), 'ARC_NA': ('arc', 'none'), 'ARC_DNSFAIL': ('arc', 'temperror'),
}
RANK = ['pass', 'temperror', 'permerror', 'fail', 'none']


@pytest.mark.skipif(not os.path.exists('/usr/bin/rspamd'), reason='rspamd')
def test_rspamd(ours, world, folder, daemons, counted):
    port, top = free_port(), f'{folder}/rspamd'
    os.makedirs(f'{top}/local.d')
    os.chmod(folder, 0o777)
    os.chmod(top, 0o777)
    with open(f'{top}/suffixes', 'w') as f:  # where domains are sold: its organizations are found by such a list
        f.write('test\n')
    with open(f'{top}/rspamd.conf', 'w') as f:
        f.write(f'''options {{ pidfile = "{top}/pid"; filters = "dkim"; control_socket = "{top}/control mode=0600"; local_addrs = []; cache_file = ""; tempdir = "{top}";
  url_tld = "{top}/suffixes"; dns {{ nameserver = ["127.0.0.1:{world.port}:1"]; timeout = 5s; retransmits = 3; }} }}
logging {{ type = "console"; level = "info"; }}
actions {{ reject = 1500; }}
modules {{ path = "/usr/share/rspamd/plugins/spf.lua"; path = "/usr/share/rspamd/plugins/dmarc.lua"; path = "/usr/share/rspamd/plugins/arc.lua"; }}
spf {{ enabled = true; }} dkim {{ enabled = true; }} dmarc {{ enabled = true; }} arc {{ enabled = true; }}
worker "normal" {{ bind_socket = "127.0.0.1:{port}"; count = 1; }}
''')
    daemons(lambda: not can_bind('127.0.0.1', port), '/usr/bin/rspamd', '-f', '-i', '-c', f'{top}/rspamd.conf')
    theirs = {}
    for name, (message, sender, client) in samples().items():
        http_ = http.client.HTTPConnection('127.0.0.1', port, timeout=30)
        http_.request('POST', '/checkv2', message, {'IP': client, 'Helo': 'mx.good.test', 'From': sender, 'Rcpt': 'ann@home.test', 'Hostname': 'mx.good.test'})
        found = json.loads(http_.getresponse().read())['symbols']
        said = {}
        for symbol in found:
            if symbol in SYMBOLS:
                method, word = SYMBOLS[symbol]
                if method not in said or RANK.index(word) < RANK.index(said[method]) if word in RANK else True:
                    said[method] = word
        theirs[name] = {m: said.get(m, 'none') for m in ('spf', 'dkim', 'dmarc', 'arc')}
    compare(ours, theirs, {
        ('typo.test', 'spf'): 'a word that SPF does not know makes the record useless (RFC 7208 4.6); rspamd passes it over',
        ('no author', 'dmarc'): 'we call a missing author an error of the message, rspamd says nothing',
    }, ('spf', 'dkim', 'dmarc', 'arc'), counted, 'rspamd')


@pytest.mark.skipif(not os.path.exists('/usr/sbin/opendmarc'), reason='opendmarc')
def test_opendmarc(ours, hosts, folder, daemons, counted):
    """As a milter behind our door: DKIM results it takes from our field, SPF it checks itself. It asks whom resolv.conf names."""
    address, port, top = own_address(), free_port(), f'{folder}/opendmarc'
    os.makedirs(top)
    resolver = dnsd.Dnsd(records, address=address, port=53, ttl=60)
    with open(f'{top}/resolv.conf', 'w') as f:
        f.write(f'nameserver {address}\n')
    with open(f'{top}/suffixes', 'w') as f:
        f.write('test\n')
    with open(f'{top}/opendmarc.conf', 'w') as f:
        f.write(f'AuthservID OpenDMARC\nTrustedAuthservIDs mx.home.test\nSocket inet:{port}@127.0.0.1\nSPFIgnoreResults true\nSPFSelfValidate true\n'
                f'PublicSuffixList {top}/suffixes\nRejectFailures false\nUserID root\n')
    try:
        daemons(lambda: not can_bind('127.0.0.1', port), 'unshare', '-m', 'sh', '-c',
                f'mount --bind {top}/resolv.conf /etc/resolv.conf && exec /usr/sbin/opendmarc -f -c {top}/opendmarc.conf')
        server = hosts('mx.home.test', f'smtpd_authorized_xclient_hosts = 127.0.0.0/8\nsmtpd_peername_lookup = no\ndmarc_reject = no\ndmarc_quarantine = none\n'
                       f'smtpd_milters = inet:127.0.0.1:{port}\nmilter_default_action = tempfail\nsmtpd_client_message_rate_limit = 0\n',
                       networks='127.0.0.2/32', dns=resolver, accounts=['ann@home.test'])
        theirs = {}
        for name, (message, sender, client) in samples().items():
            subject = name.replace(' ', '_').encode()
            with server.dialogue() as talk:
                talk.ehlo()
                talk.say(f'XCLIENT ADDR={client} NAME=mx.good.test', 220)
                talk.ehlo('mx.good.test')
                talk.envelope(sender, 'ann@home.test')
                talk.say('DATA', 354)
                talk.raw((b'X-Sample: ' + subject + b'\r\n' + message).decode())
                assert talk.say('.')[0] == 250, name
        wait_until(lambda: len(server.messages('ann@home.test')) == len(samples()), 20, 'all samples')
        for m in server.messages('ann@home.test'):
            said = [' '.join(f.split()) for f in m.get_all('Authentication-Results') if 'OpenDMARC' in f]
            found = re.search(r'OpenDMARC; dmarc=(\w+)(?: \(p=(\w+) dis=\w+\))?', ' '.join(said))
            word = found[1] if found else 'none'
            theirs[m['X-Sample'].replace('_', ' ')] = {'dmarc': word, 'all': said}
    finally:
        resolver.stop()
    ours = copy.deepcopy(ours)  # its field names p=, not the policy that applies: only the word is compared
    for name, (v, words) in {n: (v, plain(ours[n])) for n, v in theirs.items()}.items():
        ours[name]['dmarc']['policy'] = '' if words['dmarc'].startswith('fail') else None
        v['dmarc'] = 'fail ' if v['dmarc'] == 'fail' else v['dmarc']
    compare(ours, theirs, {
        ('strict.test above', 'dmarc'): 'aspf=s wants the very domain (RFC 9989 4.4); OpenDMARC 1.4 lets a subdomain pass, rspamd does not',
        ('no author', 'dmarc'): 'we call a missing author an error of the message, OpenDMARC writes no field',
    }, ('dmarc',), counted, 'OpenDMARC')
