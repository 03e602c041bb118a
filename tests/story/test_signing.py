# SPDX-License-Identifier: Apache-2.0
"""Mail signed as it leaves (DKIM), forwarded mail sealed (ARC), and the life of the keys. Verified by dkimpy and by Debian's
Postfix + OpenDKIM."""
import base64, json, os, re, subprocess
import pytest
from around import *
import dnsd

dkim = pytest.importorskip('dkim')
pytestmark = pytest.mark.root


class Zone(dict):
    """TXT records by name; everything else of far.test leads to one address."""
    def __init__(self, address):
        super().__init__()
        self.address = address

    def __call__(self, name, kind):
        import dns.rdata, dns.rdatatype
        text = name.to_text().rstrip('.').lower()
        if kind == dns.rdatatype.TXT and text in self:
            return [dnsd.txt(self[text])]
        if kind == dns.rdatatype.MX and text.endswith('.test'):
            return [dns.rdata.from_text('IN', 'MX', '10 mx.far.test.')]
        if kind == dns.rdatatype.A and text == 'mx.far.test':
            return [dns.rdata.from_text('IN', 'A', self.address)]
        return []

    def dkimpy(self, name, timeout=5):
        text = self.get(name.decode().rstrip('.').lower())
        return text.encode() if text else None


def keys(server, domain=None):
    return json.loads(server.hato('dkim', 'show', *([domain] if domain else []), '--json', check=False).stdout or '[]')


def publish(zone, server, domain=None):
    wait_until(lambda: len(keys(server, domain)) >= 2, 30, 'keys to be made')
    for k in keys(server, domain):
        zone[k['name']] = k['value']


def verdicts(raw, zone):
    """{(algorithm, domain, selector): good} of every signature."""
    raw = raw if isinstance(raw, bytes) else raw.encode('latin-1')
    d = dkim.DKIM(raw)
    out = {}
    for i, field in enumerate(h for h in d.headers if h[0].lower() == b'dkim-signature'):
        tags = dict(t.strip().split(b'=', 1) for t in re.sub(rb'\s+', b' ', field[1]).strip().strip(b';').split(b';'))
        good = dkim.DKIM(raw).verify(idx=i, dnsfunc=zone.dkimpy)
        out[tags[b'a'].decode(), tags[b'd'].decode(), tags[b's'].decode()] = good
    return out


@pytest.fixture
def world(hosts, sink):
    made = []

    def make(main='', accounts=('ann@own.test',), **more):
        far = sink(address=own_address(), port=25)
        zone = Zone(far.address)
        names = dnsd.Dnsd(zone)
        made.append(names)
        server = hosts('mail.own.test', main, dns=names, accounts=list(accounts), **more)
        publish(zone, server, 'own.test')
        return server, far, zone
    yield make
    for names in made:
        names.stop()


def received(far, count=1):
    wait_until(lambda: len(far.messages) >= count, 20, lambda: f'{count} messages')
    text = far.messages[count - 1][2]
    return text if isinstance(text, bytes) else text.encode('latin-1')


TEXT = 'From: Ann <ann@own.test>\r\nTo: joe@far.test\r\nSubject: Is   dinner\tready?\r\n\r\nHello  there \t\r\n.dots\r\n' + 'x' * 2500 + '\r\n\r\n\r\n'


@pytest.mark.core
def test_own_mail_is_signed_twice_and_verifies(world):
    server, far, zone = world()
    server.send('ann@own.test', 'joe@far.test', TEXT)
    found = verdicts(received(far), zone)
    assert found == {('rsa-sha256', 'own.test', 'hato1r'): True, ('ed25519-sha256', 'own.test', 'hato1e'): True}
    raw = received(far)
    assert raw.startswith(b'DKIM-Signature: ')
    assert raw.lower().count(b'from:from') == 2  # oversigned
    assert oct(os.stat(f'{server.data}/vault/dkim/own.test/hato1r.private').st_mode)[-3:] == '600'


def test_strangers_and_strange_authors_are_not_signed(world):
    server, far, zone = world(networks='127.99.0.0/16', main='smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated,\n  check_sender_access inline:{ann@own.test=permit}, reject\n'
                              'dmarc_check = no\nspf_check = no\n')
    server.send('ann@own.test', 'joe@far.test', TEXT)  # a stranger who says he is ann
    server.send('ann@own.test', 'joe@far.test', TEXT.replace('ann@own.test', 'ann@else.test'), 'submission', 'ann@own.test')
    assert verdicts(received(far, 1), zone) == {} and verdicts(received(far, 2), zone) == {}
    server.send('ann@own.test', 'joe@far.test', TEXT.replace('ann@own.test', 'ann@sub.own.test'), 'submission', 'ann@own.test')
    assert all(verdicts(received(far, 3), zone).values()) and len(verdicts(received(far, 3), zone)) == 2


def test_sendmail_bounces_and_two_destinations(world):
    server, far, zone = world()
    subprocess.run([HATO, '-c', server.folder, 'sendmail', '-f', 'ann@own.test', 'joe@far.test', 'jim@further.test'], input=TEXT.replace('\r', ''),
                   text=True, check=True)
    received(far, 2)
    signatures = {re.search(rb'b=([^;]*?)\r\n[A-Z]', received(far, n))[1] for n in (1, 2)}
    assert all(all(verdicts(received(far, n), zone).values()) and verdicts(received(far, n), zone) for n in (1, 2))
    assert len(signatures) == 1  # made once for both
    far.rules['replies']['RCPT TO:<gone@far.test>'] = '550 5.1.1 no such user'
    server.hato('account', 'add', 'bob@own.test', '--password-stdin', input='secret\n')
    server.send('remote@far.test', 'gone@far.test', TEXT.replace('Ann <ann@own.test>', 'remote@far.test'))
    assert all(verdicts(received(far, 3), zone).values()) and b'MAILER-DAEMON' in received(far, 3)
    assert {d for _, d, _ in verdicts(received(far, 3), zone)} == {'own.test'}


def test_changes_on_the_way_out_come_first(world):
    server, far, zone = world(main='smtp_generic_maps = inline:{ann@own.test=sales@own.test}\n'
                              'smtp_header_checks = regexp:{{/^Subject: (.*)/ REPLACE Subject: [$$1]}}\nsmtp_line_length_limit = 500\n')
    server.send('ann@own.test', 'joe@far.test', TEXT)
    raw = received(far)
    assert b'sales@own.test' in raw and b'Subject: [Is' in raw and max(map(len, raw.split(b'\r\n'))) <= 502
    assert list(verdicts(raw, zone).values()) == [True, True]


@pytest.mark.parametrize('form', ['simple/simple', 'relaxed', 'simple/relaxed'])
def test_settings_of_the_signature(world, form):
    server, far, zone = world(main=f'dkim_canonicalization = {form}\ndkim_algorithms = rsa, ed25519\ndkim_signature_lifetime = 1h\n'
                              'dkim_sign_headers = *,+X-Mine,-Subject\ndkim_remove_old_signatures = yes\n')
    server.send('ann@own.test', 'joe@far.test', 'DKIM-Signature: v=1; a=rsa-sha256; d=own.test; s=old; h=from; bh=AAAA; b=AAAA\r\nX-Mine: yes\r\n' + TEXT)
    raw = received(far)
    assert list(verdicts(raw, zone).values()) == [True, True]
    assert b's=old' not in raw and b'X-Mine' in raw and re.search(rb' x=\d+', raw)
    h = re.search(rb'h=([^;]*)', raw)[1].lower()
    assert b'x-mine' in h and b'subject' not in h


def test_mail_waits_when_the_keys_are_away(world):
    server, far, zone = world()
    os.rename(f'{server.data}/vault/dkim/own.test/hato1r.private', f'{server.data}/vault/dkim/own.test/away')
    server.stop()
    server.start()
    server.send('ann@own.test', 'joe@far.test', TEXT)
    server.wait_log(r'status=deferred \(DKIM signature: the key is not there')
    assert not far.messages
    os.rename(f'{server.data}/vault/dkim/own.test/away', f'{server.data}/vault/dkim/own.test/hato1r.private')
    server.stop()
    server.start()
    server.hato('queue', 'flush')
    assert list(verdicts(received(far), zone).values()) == [True, True]


def test_keys_change_when_the_new_ones_are_in_dns(world):
    server, far, zone = world(main='dkim_rotation_check_interval = 1s\n')
    server.hato('dkim', 'rotate', 'own.test')
    states = lambda: {k['selector']: k['state'] for k in keys(server, 'own.test')}
    assert states() == {'hato1r': 'active', 'hato1e': 'active', 'hato2r': 'waiting', 'hato2e': 'waiting'}
    assert server.hato('dkim', 'rotate', 'own.test', check=False).returncode == 65
    server.send('ann@own.test', 'joe@far.test', TEXT)
    assert {s for _, _, s in verdicts(received(far, 1), zone)} == {'hato1r', 'hato1e'}
    publish(zone, server, 'own.test')
    wait_until(lambda: states() == {'hato1r': 'retired', 'hato1e': 'retired', 'hato2r': 'active', 'hato2e': 'active'}, 20, states)
    server.stop()
    server.start()
    server.send('ann@own.test', 'joe@far.test', TEXT)
    found = verdicts(received(far, 2), zone)
    assert {s for _, _, s in found} == {'hato2r', 'hato2e'} and all(found.values())


def test_commands_without_a_server(hosts):
    server = hosts('mail.own.test', start=False)
    server.hato('dkim', 'add', 'own.test', '--selector', 'mail')
    assert [(k['selector'], k['algorithm']) for k in keys(server)] == [('mail', 'rsa'), ('mail-ed25519', 'ed25519')]
    assert server.hato('dkim', 'add', 'own.test', check=False).returncode == 65
    text = server.hato('dkim', 'show', 'own.test', '--selector', 'mail').stdout
    k = keys(server)[0]
    assert k['value'] in text and k['zone'] in text and k['strings'] in text
    assert '"' not in k['value'] and all(len(s) <= 255 for s in re.findall(r'"([^"]*)"', k['strings']))
    server.hato('dkim', 'del', 'own.test', 'mail', '--yes')
    assert [k['selector'] for k in keys(server)] == ['mail-ed25519']
