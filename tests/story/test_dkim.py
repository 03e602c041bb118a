# SPDX-License-Identifier: Apache-2.0
"""DKIM: published messages (tests/data/dkim) through the real DNS code, and other people's signers and verifiers beside ours."""
import glob, json, os, re, subprocess, textwrap
import pytest
import around, dnsd, milterclient, trustprobe
from trustprobe import crlf

DATA = os.path.join(os.path.dirname(__file__), '..', 'data', 'dkim')


def read(path):
    with open(os.path.join(DATA, path), 'rb') as f:
        return f.read()


def records(text):
    """"name value" lines, or "name: \\" with the value on the next ones."""
    out = {}
    for line in re.sub(r'\s*\\\n\s*', ' ', text).splitlines():
        name, _, value = line.strip().partition(' ')
        if name and not name.startswith('#'):
            out.setdefault(name.rstrip(':'), []).append(value.strip())
    return out


# ---- what the RFCs show ----

@pytest.mark.suite('DKIM, vectors of RFC 6376 and RFC 8463')
@pytest.mark.parametrize('name, algorithms', [('rfc6376-a3', ['rsa-sha256']), ('rfc8463-a3', ['ed25519-sha256', 'rsa-sha256'])])
@pytest.mark.core
def test_messages_of_the_rfcs(name, algorithms):
    with trustprobe.Keys(records(read('rfc/dns.txt').decode())) as keys:
        mail = read(f'rfc/{name}.eml')
        for step in (1, 7, 4096):
            found = trustprobe.verify(mail, keys, step=step)
            assert [(v.result, v.algorithm, v.reason) for v in found] == [('pass', a, '') for a in algorithms]
        for v in trustprobe.verify(mail.replace(b'lost the game', b'won the game'), keys):
            assert (v.result, v.reason) == ('fail', 'the body was changed after signing')
        assert {v.result for v in trustprobe.verify(mail.replace(b'dinner', b'lunch'), keys)} == {'fail'}


# ---- mail-auth: "DNS lines, an empty line, the message" ----

@pytest.mark.suite('DKIM, mail-auth')
@pytest.mark.parametrize('path', sorted(glob.glob(DATA + '/mail-auth/*.txt')), ids=os.path.basename)
def test_mail_auth(path):
    zone, _, mail = read(path).replace(b'\r\n', b'\n').partition(b'\n\n')
    with trustprobe.Keys(records(zone.decode())) as keys:
        found = trustprobe.verify(crlf(mail), keys, now=1667843664)
        assert found and {(v.result, v.reason if v.partial == '0' else '') for v in found} == {('pass', '')}, found


# ---- chasquid ----

# Ours differs where the same field stands there twice: it is looked at once. And 03 is a message that chasquid does not parse.
@pytest.mark.suite('DKIM, chasquid')
@pytest.mark.parametrize('name', ['01-rfc8463', '02-too_many_headers', '03-bad_message', '08-our_signature', '09-limited_body',
                                  '11-strict_domain_check_fail'])
def test_chasquid(name):
    mail = crlf(read(f'chasquid/{name}.msg'))
    result = json.loads(read(f'chasquid/{name}.result')) if os.path.exists(f'{DATA}/chasquid/{name}.result') else {'Results': []}
    zone = f'{DATA}/chasquid/{name}.dns'
    with trustprobe.Keys(records(read(zone).decode()) if os.path.exists(zone) else {}) as keys:
        found = trustprobe.verify(mail, keys, now=1709500000)
    wanted = {r['SignatureHeader']: r for r in result['Results']}.values()
    assert [(v.domain, v.selector, v.result == 'pass') for v in found[:len(wanted)]] == \
           [(r['Domain'], r['Selector'], r['State'] == 'SUCCESS') for r in wanted]
    if name == '09-limited_body':
        assert [v.partial for v in found] == ['1', '0', '0']


# ---- Mail::DKIM ----

# Passed when they were made; no verifier may accept them any more, or never should have:
NO_MORE = {
    'good_ietf01_1.txt': 'without v= (drafts before RFC 4871)', 'mine_ietf01_3.txt': 'without v=', 'mine_ietf01_4.txt': 'without v=',
    'bad_ietf01_1.txt': 'without v=', 'bad_ietf01_2.txt': 'without v=',
}


def mail_dkim():
    for line in read('mail-dkim/expected.tsv').decode().splitlines()[1:]:
        fields = line.split('\t')
        if not fields[2].startswith('DomainKeys'):
            yield pytest.param(fields[0], fields[1], fields[2], id=fields[0])


@pytest.mark.suite('DKIM, Mail::DKIM', 'rsa-sha1 is none by RFC 8301')
@pytest.mark.parametrize('name, stated, algorithm', mail_dkim())
def test_mail_dkim(name, stated, algorithm):
    texts = {}
    for record, values in records(read('mail-dkim/FAKE_DNS.dat').decode()).items():
        texts[record] = None if values == ['NXDOMAIN'] else dnsd.TIMEOUT if values[0].startswith('~~') else values
    with trustprobe.Keys(texts) as keys:
        found = trustprobe.verify(crlf(read(f'mail-dkim/{name}')), keys)
    assert len(found) == 1
    v = found[0]
    if algorithm == 'rsa-sha1' or name in NO_MORE:  # RFC 8301 §3.1
        assert v.result in ('permerror', 'neutral')
    else:
        assert (v.result == 'pass') == (stated == 'pass')
    assert (v.result == 'pass') == (v.reason == '')


# ---- other people's programs ----

MAIL = crlf('''\
Received: from a.example by b.example; Sun, 22 Nov 2026 04:31:39 +0000
From: "Joe, the \u00e9minent" <joe@signer.test>
To: ann@receiver.test,
 bob@receiver.test
Subject: Is   dinner\tready?
Date: Sun, 22 Nov 2026 04:31:39 +0000
Message-ID: <1@signer.test>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
X-Odd:   value\t

Hello  there, \t
\ttabs  and   blanks
\u9ce9 is a pigeon

.dots

''')
BODIES = {'usual': None, 'empty': b'', 'only breaks': b'\r\n\r\n\r\n', 'no break at its end': b'one\r\ntwo', 'blanks': b' \t\r\n \r\n'}


def with_body(which):
    return MAIL if BODIES[which] is None else MAIL[:MAIL.index(b'\r\n\r\n') + 4] + BODIES[which]


@pytest.fixture(scope='module')
def signer(tmp_path_factory):
    folder = tmp_path_factory.mktemp('keys')
    rsa, rsa_public = trustprobe.make_key(folder, 'rsa')
    ed, ed_public = trustprobe.make_key(folder, 'ed', 'ed25519')

    class Signer:
        texts = {'rsa._domainkey.signer.test': f'v=DKIM1; h=sha256; k=rsa; p={rsa_public}',
                 'ed._domainkey.signer.test': f'v=DKIM1; k=ed25519; p={ed_public}'}
        paths = {'rsa': rsa, 'ed': ed}
        options = {'rsa': f'rsa:signer.test:rsa:{rsa}', 'ed': f'ed25519:signer.test:ed:{ed}'}

        @staticmethod
        def txt(name, timeout=5):
            text = Signer.texts.get(name.decode().rstrip('.'))
            return text.encode() if text else None
    with trustprobe.Keys(Signer.texts) as Signer.keys:
        yield Signer


def sign(signer, mail, canon='relaxed/relaxed', which=('rsa', 'ed'), **more):
    return trustprobe.sign(mail, key=[signer.options[w] for w in which], canon=canon, oversign='From', **more)


CANONS = ['relaxed/relaxed', 'relaxed/simple', 'simple/relaxed', 'simple/simple']


@pytest.mark.parametrize('canon', CANONS)
@pytest.mark.parametrize('body', BODIES)
def test_dkimpy_verifies_ours(signer, canon, body):
    dkim = pytest.importorskip('dkim')
    mail = sign(signer, with_body(body), canon, lifetime=86400, identity='joe@mail.signer.test')
    d = dkim.DKIM(mail)
    assert [d.verify(idx=i, dnsfunc=signer.txt) for i in range(2)] == [True, True]
    changed = dkim.DKIM(mail.replace(b'ready', b'cold'))
    for i in range(2):
        assert not changed.verify(idx=i, dnsfunc=signer.txt)


@pytest.mark.parametrize('canon', CANONS)
@pytest.mark.parametrize('body', BODIES)
def test_ours_verifies_dkimpy(signer, canon, body):
    dkim = pytest.importorskip('dkim')
    mail = with_body(body)
    forms = tuple(c.encode() for c in canon.split('/'))
    for which, algorithm in (('rsa', b'rsa-sha256'), ('ed', b'ed25519-sha256')):
        key = open(signer.paths[which], 'rb').read()
        if which == 'ed':
            import base64
            seed = subprocess.run(['openssl', 'pkey', '-in', signer.paths['ed'], '-outform', 'DER'], capture_output=True, check=True).stdout[-32:]
            key = base64.b64encode(seed)
        field = dkim.sign(mail, which.encode(), b'signer.test', key, canonicalize=forms, signature_algorithm=algorithm)
        for step in (1, 5000):
            found = trustprobe.verify(field + mail, signer.keys, step=step)
            assert [(v.result, v.reason) for v in found] == [('pass', '')]


needs_opendkim = pytest.mark.skipif(not os.path.exists('/usr/sbin/opendkim-testmsg'), reason='opendkim')


@pytest.fixture
def opendkim(folder, signer):
    """make(more settings): a real daemon, and a milter client of it."""
    made = []

    def make(conf):
        with open(f'{folder}/keys', 'w') as f:
            f.writelines(f'{n} {t}\n' for n, t in signer.texts.items())
        path = f'{folder}/{len(made)}.sock'
        process = milterclient.daemon(folder, 'opendkim', f'TestDNSData file:{folder}/keys\nSocket local:{path}\nMode sv\nSyslog no\n'
                                      f'MaximumSignaturesToVerify 5\nBackground no\n{conf}', path)
        made.append(process)
        return lambda mail, **more: ask(path, mail, **more)

    def ask(path, mail, **more):
        client = milterclient.Client(path)
        added = client.filter(mail, **more)
        client.close()
        return added
    yield make
    for process in made:
        around.end_process(process)


OUTSIDE = '192.0.2.1'  # no internal host: it verifies
ENDED = [b for b in BODIES if b != 'no break at its end']  # OpenDKIM gives up on that one; SMTP cannot bring it


@needs_opendkim
def test_opendkim_verifies_ours(signer, opendkim):
    ask = opendkim('')
    for canon in CANONS:
        for body in ENDED:
            mail = sign(signer, with_body(body), canon, which=['rsa'], lifetime=86400)
            (name, value), = ask(mail, client=OUTSIDE)
            assert name == 'Authentication-Results' and 'dkim=pass' in value, (canon, body, value)
            (name, value), = ask(mail.replace(b'ready', b'cold'), client=OUTSIDE)
            assert 'dkim=pass' not in value


@needs_opendkim
@pytest.mark.parametrize('canon', CANONS)
def test_ours_verifies_opendkim(signer, opendkim, canon):
    ask = opendkim(f'Domain signer.test\nSelector rsa\nKeyFile {signer.paths["rsa"]}\nCanonicalization {canon}\nOversignHeaders From\n'
                   'SignatureTTL 3600\nRequireSafeKeys no\n')
    for body in ENDED:
        mail = with_body(body)
        (name, value), = ask(mail)
        assert name == 'DKIM-Signature' and f'c={canon}' in value
        field = crlf(f'{name}:{"" if value.startswith(" ") else " "}{value}\n')
        for step in (1, 5000):
            found = trustprobe.verify(field + mail, signer.keys, step=step)
            assert [(v.result, v.reason) for v in found] == [('pass', '')], (body, value)


@needs_opendkim
def test_opendkim_testmsg_signs_with_sha1(signer):
    """So nobody may believe it (RFC 8301)."""
    done = subprocess.run(['opendkim-testmsg', '-C', '-d', 'signer.test', '-s', 'rsa', '-k', signer.paths['rsa']], input=MAIL, capture_output=True)
    assert done.returncode == 0, done.stderr
    (v,) = trustprobe.verify(crlf(done.stdout), signer.keys)
    assert (v.result, v.reason) == ('permerror', 'rsa-sha1 is no longer accepted (RFC 8301)')


@needs_opendkim
@pytest.mark.root
def test_opendkim_testmsg_verifies_ours(folder, signer):
    """It knows only the system's resolver: it gets one of its own, in a mount name space."""
    address = '127.53.6.76'
    server = dnsd.Dnsd(signer.keys.find, address=address, port=53)
    try:
        with open(f'{folder}/resolv.conf', 'w') as f:
            f.write(f'nameserver {address}\n')
        script = f'mount --bind {folder}/resolv.conf "$(readlink -f /etc/resolv.conf)" && exec opendkim-testmsg'
        for change, good in ((b'', True), (b'x', False)):
            mail = sign(signer, MAIL, which=['rsa']) + change
            done = subprocess.run(['unshare', '-m', 'sh', '-c', script], input=mail, capture_output=True, text=False)
            assert (done.returncode == 0) == good, done.stderr
        assert server.asked
    finally:
        server.stop()


# ---- hostile ----

def test_a_thousand_signatures_cost_no_more_than_ten(signer):
    mail = sign(signer, MAIL, which=['rsa'])
    field = mail[:len(mail) - len(MAIL)]
    many = b''.join(field.replace(b's=rsa', b's=k%d' % i) for i in range(1000)) + MAIL
    before = len(signer.keys.asked)
    found = trustprobe.verify(many, signer.keys)
    assert len(found) == 10 and {v.result for v in found} == {'permerror'}
    assert len(signer.keys.asked) - before <= 60
    assert [v.result for v in trustprobe.verify(field * 1000 + MAIL, signer.keys)] == ['pass']


def test_a_large_body_takes_no_memory(signer, folder):
    body = b''.join(b'line %d of a  very long\tbody \r\n' % i for i in range(10000)) * 120  # 34 MB
    path = f'{folder}/mail'
    with open(path, 'wb') as f:
        f.write(sign(signer, MAIL + body))
    found = trustprobe.verify(open(path, 'rb').read(), signer.keys, step=65536)
    assert [v.result for v in found] == ['pass', 'pass']


def test_odd_records_and_silence(signer):
    odd = {
        'loop': dnsd.TIMEOUT, 'none': None, 'giant': 'v=DKIM1; n=' + 'x' * 40000 + '; p=AAAA', 'bytes': '\x00\u00ff\u2028',
        'many': ['v=DKIM1; p=AAAA'] * 100, 'empty': '', 'tags': 'v=DKIM1; ' + ''.join(f'a{i}=;' for i in range(100)) + 'p=AAAA',
    }
    mail = sign(signer, MAIL, which=['rsa'])
    for selector, text in odd.items():
        signer.keys.put(f'{selector}._domainkey.signer.test', text)
        (v,) = trustprobe.verify(mail.replace(b's=rsa', b's=' + selector.encode()), signer.keys)
        assert v.result == ('temperror' if text == dnsd.TIMEOUT else 'permerror'), (selector, v)
