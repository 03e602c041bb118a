# SPDX-License-Identifier: Apache-2.0
"""Mail signed as it leaves (DKIM), forwarded mail sealed (ARC), and the life of the keys. Verified by dkimpy and by Debian's
Postfix + OpenDKIM."""
import base64, json, os, re, subprocess, time
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


def test_what_a_provider_changes_on_its_way_breaks_no_signature(world):
    """S98: what "show original" calls PASS has been carried by many servers: folded anew, blanks at the ends, fields put in front."""
    server, far, zone = world()
    server.send('ann@own.test', 'joe@far.test', TEXT)
    raw = received(far)
    assert re.findall(rb'\bc=([a-z/]+)', raw) == [b'relaxed/relaxed'] * 2
    changed = raw.replace(b'Subject: Is   dinner\tready?', b'SUBJECT:  Is dinner\r\n\tready? \t').replace(b'Hello  there \t\r\n', b'Hello there\r\n')
    changed = b'Received: by 2002:a05::1 with SMTP id x; Mon, 23 Nov 2026 09:12:01 -0800 (PST)\r\nX-Received: by 2002:a05::2\r\n' + \
              changed.rstrip(b'\r\n') + b'   \r\n\r\n'
    assert changed.count(b'Is dinner\r\n') == 1 and len(verdicts(changed, zone)) == 2 and all(verdicts(changed, zone).values())
    with pytest.raises(dkim.ValidationError):
        verdicts(raw.replace(b'Hello', b'Hallo'), zone)


def test_strangers_and_strange_authors_are_not_signed(world):
    server, far, zone = world(networks='127.99.0.0/16', main='smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated,\n  check_sender_access inline:{ann@own.test=permit}, reject\n'
                              'dmarc_check = no\nspf_check = no\n')
    server.send('ann@own.test', 'joe@far.test', TEXT)  # a stranger who says he is ann
    server.send('ann@own.test', 'joe@far.test', TEXT.replace('ann@own.test', 'ann@else.test'), 'submission', 'ann@own.test')
    assert verdicts(received(far, 1), zone) == {} and verdicts(received(far, 2), zone) == {}
    server.send('ann@own.test', 'joe@far.test', TEXT.replace('ann@own.test', 'ann@sub.own.test'), 'submission', 'ann@own.test')
    assert all(verdicts(received(far, 3), zone).values()) and len(verdicts(received(far, 3), zone)) == 2


def stored(server, user, count=1):
    with server.imap(user) as m:
        wait_until(lambda: int(m.select('INBOX')[1][0]) >= count, 20, f'{count} messages of {user}')
        return [m.fetch(str(n), '(BODY.PEEK[])')[1][0][1] for n in range(1, count + 1)]


@pytest.mark.core
def test_copies_that_stay_here_are_signed_for_who_logged_in(world):
    """As docker-mailserver's users see it; what leaves has one signature for each key, over what really leaves."""
    server, far, zone = world(accounts=('ann@own.test', 'bob@own.test'), main='smtp_header_checks = regexp:{{/^Subject: (.*)/ REPLACE Subject: [$$1]}}\n'
                              'header_checks = regexp:{{/^X-Old:/ IGNORE}}\n')
    both = {('rsa-sha256', 'own.test', 'hato1r'): True, ('ed25519-sha256', 'own.test', 'hato1e'): True}
    text = 'X-Old: gone\r\n' + TEXT
    server.send('ann@own.test', ['bob@own.test', 'joe@far.test'], text, 'submission', 'ann@own.test')
    raw = stored(server, 'bob@own.test')[0]
    assert verdicts(raw, zone) == both and raw.startswith(b'Return-Path: <ann@own.test>\r\nDKIM-Signature: ')
    assert verdicts(received(far), zone) == both and b'Subject: [Is' in received(far)
    big = text + ('line ' * 90 + '\r\n') * 4000  # spooled to a file at the door
    server.send('ann@own.test', ['bob@own.test', 'joe@far.test'], big, 'submission', 'ann@own.test')
    raw = stored(server, 'bob@own.test', 2)[1]
    assert verdicts(raw, zone) == both and len(raw) > 1800000
    assert verdicts(received(far, 2), zone) == both
    with server.imap('bob@own.test') as m:  # the summary was moved along
        m.select('INBOX')
        text = m.fetch('2', '(BODY.PEEK[TEXT]<0.20>)')[1][0][1]
        assert text == b'Hello  there \t\r\n.dots\r\n'[:20]
    server.send('ann@own.test', 'bob@own.test', TEXT)  # from mynetworks, not logged in
    assert verdicts(stored(server, 'bob@own.test', 3)[2], zone) == {}


@pytest.mark.parametrize('word, signed', [('no', 0), ('yes', 2)])
def test_dkim_sign_local(world, word, signed):
    server, far, zone = world(accounts=('ann@own.test', 'bob@own.test'), main=f'dkim_sign_local = {word}\n')
    server.send('ann@own.test', 'bob@own.test', TEXT, 'submission', 'ann@own.test')
    server.send('ann@own.test', 'bob@own.test', TEXT)
    subprocess.run([HATO, '-c', server.folder, 'sendmail', '-f', 'ann@own.test', 'bob@own.test'], input=TEXT.replace('\r', ''), text=True, check=True)
    for raw in stored(server, 'bob@own.test', 3):
        assert list(verdicts(raw, zone).values()) == [True] * signed


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
                              'dkim_sign_headers = *,+X-Mine,-Subject\ndkim_remove_old_signatures = yes\ndkim_request_reports = yes\n')
    server.send('ann@own.test', 'joe@far.test', 'DKIM-Signature: v=1; a=rsa-sha256; d=own.test; s=old; h=from; bh=AAAA; b=AAAA\r\nX-Mine: yes\r\n' + TEXT)
    raw = received(far)
    assert list(verdicts(raw, zone).values()) == [True, True]
    assert b's=old' not in raw and b'X-Mine' in raw and re.search(rb' x=\d+', raw) and len(re.findall(rb' r=y;', raw)) == 2
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


def test_a_key_that_nobody_can_find_is_told_of(world):
    """Mail is signed at once; that the record is missing stands in the log, with the record, and in the commands."""
    server, far, zone = world(main=f'dkim_rotation_check_interval = {round(3 * SLOW)}s\n', accounts=('ann@own.test', 'bob@other.test'))
    wait_until(lambda: len(keys(server, 'other.test')) == 2, 30, 'keys')
    zone[keys(server, 'own.test')[0]['name']] = 'v=DKIM1; p='
    server.stop()  # what is published was perhaps seen already, and is not looked at again for a day
    server.start()
    begun = len(server.log())
    found = server.wait_log(r'hato1r\._domainkey\.other\.test: there is no such record in DNS: mail of other\.test is signed, and nobody can verify it\. Publish this TXT record .*: (v=DKIM1; .*)')
    assert any(found[1].strip() == k['value'] for k in keys(server, 'other.test'))
    server.wait_log(r'hato1e\._domainkey\.other\.test')
    assert 'hato1r._domainkey.own.test: there is no' not in server.log()[begun:]
    said = lambda: {(k['domain'], k['selector']): k['dns'] for k in json.loads(server.hato('dkim', 'list', '--json').stdout)}
    wait_until(lambda: said()['own.test', 'hato1r'] == 'published', 20, said)
    assert (said()['own.test', 'hato1e'], said()['other.test', 'hato1r'], said()['other.test', 'hato1e']) == ('wrong', 'missing', 'missing')
    assert re.search(r'hato1r +rsa +2048 +active +missing', server.hato('dkim', 'list', 'other.test').stdout)
    assert 'DKIM      not in DNS yet: the records of ' in server.hato('status').stdout and ' other.test' in server.hato('status').stdout
    assert 'signs, but its record is not in DNS: nobody can verify' in server.hato('dkim', 'show', 'other.test').stdout
    time.sleep(7 * SLOW)  # several rounds: once a day is enough
    assert server.log()[begun:].count('hato1r._domainkey.other.test: there is') == 1
    done = server.hato('dkim', 'check', 'other.test', check=False)
    assert done.returncode != 0 and 'other.test' in done.stdout + done.stderr
    publish(zone, server, 'other.test')
    publish(zone, server, 'own.test')
    wait_until(lambda: set(said()[d, s] for d in ('own.test', 'other.test') for s in ('hato1r', 'hato1e')) == {'published'}, 20, said)
    assert 'other.test' not in server.hato('status').stdout


def test_a_record_that_vanishes_is_told_of(world):
    """A record that was there is looked for again (six times as seldom as one that was not), not only after a day."""
    server, far, zone = world(main='dkim_rotation_check_interval = 1s\n')
    said = lambda: {k['selector']: k['dns'] for k in keys(server, 'own.test')}
    wait_until(lambda: said() == {'hato1r': 'published', 'hato1e': 'published'}, 20, said)
    name, begun = next(k['name'] for k in keys(server, 'own.test') if k['selector'] == 'hato1r'), len(server.log())
    record = zone.pop(name)
    wait_until(lambda: said()['hato1r'] == 'missing', 30, said)
    assert 'not in DNS yet: the records of own.test' in server.hato('status').stdout
    assert 'hato1r._domainkey.own.test: there is no such record in DNS: mail of own.test is signed, and nobody' in server.log()[begun:]
    zone[name] = record
    wait_until(lambda: said()['hato1r'] == 'published', 30, said)


def test_keys_of_a_new_domain_can_wait_for_dns(world):
    """dkim_sign_unpublished = no: the Ed25519 key, whose record nobody publishes, never signs."""
    server, far, zone = world(main='dkim_sign_unpublished = no\ndkim_rotation_check_interval = 1s\n', accounts=('ann@own.test', 'eve@late.test'))
    wait_until(lambda: len(keys(server, 'late.test')) == 2, 30, 'keys')
    states = lambda: {k['selector']: k['state'] for k in keys(server, 'late.test')}
    assert states() == {'hato1r': 'waiting', 'hato1e': 'waiting'}
    text = TEXT.replace('Ann <ann@own.test>', 'Eve <eve@late.test>')
    server.send('eve@late.test', 'joe@far.test', text)
    assert b'DKIM-Signature' not in received(far, 1)
    rsa = next(k for k in keys(server, 'late.test') if k['selector'] == 'hato1r')
    zone[rsa['name']] = rsa['value']
    wait_until(lambda: states()['hato1r'] == 'active', 20, states)
    server.send('eve@late.test', 'joe@far.test', text)
    assert [s for _, _, s in verdicts(received(far, 2), zone)] == ['hato1r']
    assert server.hato('dkim', 'rotate', 'late.test', check=False).returncode == 65  # one waits already
    server.hato('dkim', 'switch', 'late.test')
    assert states() == {'hato1r': 'active', 'hato1e': 'active'}


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
    done = server.hato('dkim', 'check', check=False)  # asks DNS itself, about keys that another process has
    assert done.returncode == 65 and 'mail-ed25519._domainkey.own.test (active): ' in done.stdout, done.stdout + done.stderr


# ---- OpenDKIM's tools, files and settings ----

TOOLS = os.path.join(os.path.dirname(HATO), '')
needs_opendkim = pytest.mark.skipif(not os.path.exists('/usr/sbin/opendkim-genkey'), reason='opendkim-tools')


def public_part(path):
    der = subprocess.run(['openssl', 'pkey', '-in', path, '-pubout', '-outform', 'DER'], capture_output=True, check=True).stdout
    return base64.b64encode(der).decode()


@needs_opendkim
@pytest.mark.parametrize('options', [[], ['-b', '1024', '-d', 'ex.test', '-s', 's1', '-r', '-S', '-t', '-n', 'a note', '-v'], ['-a', '-d', 'ex.test'],
                                     ['--bits=4096', '--domain=ex.test', '--hash-algorithms=sha256:sha1', '--restrict', '--nosubdomains']])
def test_genkey_writes_what_opendkims_writes(folder, options):
    texts = []
    for program in (['/usr/sbin/opendkim-genkey'], [HATO, 'opendkim-genkey']):
        place = f'{folder}/{len(texts)}'
        os.mkdir(place)
        done = subprocess.run([*program, '-D', place, *options], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        name = 's1' if 's1' in options else 'default'
        for f in ('private', 'txt'):
            assert oct(os.stat(f'{place}/{name}.{f}').st_mode)[-3:] == '600'
        text = open(f'{place}/{name}.txt').read()
        key = public_part(f'{place}/{name}.private')
        pieces = '"\n\t  "'.join(key[i:i + 250] for i in range(0, len(key), 250))
        assert pieces in text
        texts.append((text.replace(pieces, 'KEY'), done.stderr))
    assert texts[0] == texts[1]


def test_testkey_testmsg_check_and_import(world, folder):
    server, far, zone = world()
    os.mkdir(folder + '/k')
    subprocess.run([HATO, 'opendkim-genkey', '-D', folder + '/k', '-d', 'imp.test', '-s', 'old', '--type', 'ed25519'], check=True)
    env = {**os.environ, 'MAIL_CONFIG': server.folder}
    testkey = lambda *more: subprocess.run([HATO, 'opendkim-testkey', '-d', 'imp.test', '-s', 'old', '-k', folder + '/k/old.private', *more],
                                           capture_output=True, text=True, env=env)
    done = testkey('-v')
    assert done.returncode == 1 and "'old._domainkey.imp.test' record not found" in done.stderr
    server.hato('dkim', 'import', 'imp.test', 'old', folder + '/k/old.private')
    check = server.hato('dkim', 'check', check=False)
    assert check.returncode == 65 and 'old._domainkey.imp.test (active): missing' in check.stdout and 'hato1r._domainkey.own.test (active): published' in check.stdout
    zone['old._domainkey.imp.test'] = keys(server, 'imp.test')[0]['value']
    done = testkey('-v')
    assert done.returncode == 0 and 'key OK' in done.stderr, done
    assert testkey().stderr == ''
    found = json.loads(server.hato('dkim', 'check', 'imp.test', '--json').stdout)
    assert [(f['selector'], f['record']) for f in found] == [('old', 'published')]
    zone['old._domainkey.imp.test'] = zone['hato1e._domainkey.own.test']
    assert 'keys do not match' in testkey().stderr
    mail = 'From: a@own.test\nSubject: x\n\nhi\n'
    signed = subprocess.run([HATO, 'opendkim-testmsg', '-d', 'own.test', '-s', 'hato1r', '-k', f'{server.data}/vault/dkim/own.test/hato1r.private'],
                            input=mail, capture_output=True, text=True, check=True, env=env).stdout
    assert signed.startswith('DKIM-Signature: ')
    verify = lambda text: subprocess.run([HATO, 'opendkim-testmsg'], input=text, capture_output=True, text=True, env=env).returncode
    assert verify(signed) == 0 and verify(signed.replace('hi', 'ho')) != 0
    assert subprocess.run([HATO, 'opendkim-testmsg', '-d', 'x'], input=mail, text=True, stderr=subprocess.DEVNULL).returncode == 78


def make_keys(place, domains, selector='mail'):
    for d in domains:
        os.makedirs(f'{place}/keys/{d}')
        subprocess.run([HATO, 'opendkim-genkey', '-b', '2048', '-D', f'{place}/keys/{d}', '-d', d, '-s', selector], check=True)


def record_of(path):
    return ''.join(re.findall(r'"([^"]*)"', open(path).read()))


def send_and_verify(server, far, zone, author, count):
    server.send('ann@own.test', 'joe@far.test', TEXT.replace('ann@own.test', author), 'submission', 'ann@own.test')
    return verdicts(received(far, count), zone)


def test_opendkim_conf_with_key_table(world, folder):
    place = folder + '/opendkim'
    make_keys(place, ['one.test', 'two.test'])
    with open(place + '/KeyTable', 'w') as f:
        f.write(f'k1 one.test:mail:{place}/keys/one.test/mail.private\nk2 two.test:mail:{place}/keys/two.test/mail.private\n')
    with open(place + '/SigningTable', 'w') as f:
        f.write('*@one.test k1\nboss@*.two.test k2\n*@two.test k2\n')
    with open(place + '/TrustedHosts', 'w') as f:
        f.write('127.0.0.1\nlocalhost\n10.0.0.0/8\n')
    with open(place + '/opendkim.conf', 'w') as f:
        f.write(f'''# of a server that was
Syslog yes
Mode sv
Canonicalization relaxed/simple
KeyTable {place}/KeyTable
SigningTable refile:{place}/SigningTable
InternalHosts {place}/TrustedHosts
OversignHeaders From
Socket local:{place}/opendkim.sock
UserID opendkim
Frobnicate yes
''')
    server, far, zone = world(main=f'opendkim_config = {place}/opendkim.conf\n')
    for d in ('one.test', 'two.test'):
        zone[f'mail._domainkey.{d}'] = record_of(f'{place}/keys/{d}/mail.txt')
    assert send_and_verify(server, far, zone, 'x@one.test', 1) == {('rsa-sha256', 'one.test', 'mail'): True}
    assert b'c=relaxed/simple' in received(far, 1)
    assert send_and_verify(server, far, zone, 'boss@deep.two.test', 2) == {('rsa-sha256', 'two.test', 'mail'): True}
    assert send_and_verify(server, far, zone, 'x@deep.two.test', 3) == {}
    assert 'Frobnicate: no such setting of OpenDKIM' in server.hato('check', check=False).stderr + server.hato('check', check=False).stdout
    assert {k['file'] for k in keys(server, 'one.test')} == {f'{place}/keys/one.test/mail.private'}


def test_folders_of_docker_mailserver(world, folder):
    place = folder + '/opendkim'
    make_keys(place, ['one.test'])
    with open(place + '/KeyTable', 'w') as f:
        f.write('mail._domainkey.one.test one.test:mail:/etc/opendkim/keys/one.test/mail.private\n')
    with open(place + '/SigningTable', 'w') as f:
        f.write('*@one.test mail._domainkey.one.test\n')
    rspamd = folder + '/rspamd'
    os.makedirs(rspamd + '/dkim')
    os.makedirs(rspamd + '/override.d')
    for name, domain, kind in (('rsa-2048-mail-two.test', 'two.test', 'rsa'), ('ed25519-edsel-two.test', 'two.test', 'ed25519')):
        subprocess.run([HATO, 'opendkim-genkey', '-D', rspamd + '/dkim', '-d', domain, '-s', name, '--type', kind], check=True)
        os.rename(f'{rspamd}/dkim/{name}.private', f'{rspamd}/dkim/{name}.private.txt')
    with open(rspamd + '/override.d/dkim_signing.conf', 'w') as f:
        f.write('''# documentation: https://rspamd.com/doc/modules/dkim_signing.html
enabled = true;
sign_authenticated = true;
domain {
    two.test {
        selectors [
            { path = "/tmp/docker-mailserver/rspamd/dkim/rsa-2048-mail-two.test.private.txt"; selector = "mail"; },
            { path = "/tmp/docker-mailserver/rspamd/dkim/ed25519-edsel-two.test.private.txt"; selector = "edsel"; }
        ]
    }
}
''')
    server, far, zone = world(main=f'dkim_key_folders = {place} {rspamd}\n')
    zone['mail._domainkey.one.test'] = record_of(f'{place}/keys/one.test/mail.txt')
    zone['mail._domainkey.two.test'] = record_of(f'{rspamd}/dkim/rsa-2048-mail-two.test.txt')
    zone['edsel._domainkey.two.test'] = record_of(f'{rspamd}/dkim/ed25519-edsel-two.test.txt')
    assert send_and_verify(server, far, zone, 'x@one.test', 1) == {('rsa-sha256', 'one.test', 'mail'): True}
    assert send_and_verify(server, far, zone, 'x@two.test', 2) == {('rsa-sha256', 'two.test', 'mail'): True, ('ed25519-sha256', 'two.test', 'edsel'): True}


def test_a_folder_of_keys_is_imported(world, folder):
    """hato dkim import FOLDER: OpenDKIM's tables and rspamd's folder become keys of hato's own, which sign without those files."""
    place, rspamd = folder + '/opendkim', folder + '/rspamd'
    make_keys(place, ['one.test', 'two.test'])
    with open(place + '/KeyTable', 'w') as f:
        f.writelines(f'mail._domainkey.{d} {d}:mail:/etc/opendkim/keys/{d}/mail.private\n' for d in ('one.test', 'two.test'))
    with open(place + '/SigningTable', 'w') as f:
        f.writelines(f'*@{d} mail._domainkey.{d}\n' for d in ('one.test', 'two.test'))
    os.makedirs(rspamd + '/dkim')
    name = 'rsa-2048-mail-three.test'
    subprocess.run([HATO, 'opendkim-genkey', '-D', rspamd + '/dkim', '-d', 'three.test', '-s', name], check=True)
    os.rename(f'{rspamd}/dkim/{name}.private', f'{rspamd}/dkim/{name}.private.txt')
    server, far, zone = world()
    for f in (place, rspamd):
        server.hato('dkim', 'import', f)
    for d in ('one.test', 'two.test'):
        zone[f'mail._domainkey.{d}'] = record_of(f'{place}/keys/{d}/mail.txt')
    zone['mail._domainkey.three.test'] = record_of(f'{rspamd}/dkim/{name}.txt')
    for f in (place, rspamd):
        os.rename(f, f + '.gone')
    for n, d in enumerate(('one.test', 'two.test', 'three.test'), 1):
        assert send_and_verify(server, far, zone, f'x@{d}', n) == {('rsa-sha256', d, 'mail'): True}
        assert [k['state'] for k in keys(server, d)] == ['active'] or keys(server, d)
    assert server.hato('dkim', 'import', folder + '/nothing', check=False).returncode != 0


# ---- real receivers ----

@needs_opendkim
def test_postfix_with_opendkim_says_pass(hosts, postfix, dns, folder):
    """The third seed user: only submission, nothing local; the receiver is Postfix with OpenDKIM."""
    address = own_address()
    records = f'far.test MX 10 mx.far.test.\nmx.far.test A {address}\n'
    names = dns(records)
    server = hosts('relay.own.test', 'mydestination =\nlocal_transport = error:local mail delivery is disabled\nsmtpd_tls_security_level = encrypt\n'
                   'dkim_key_domains = own.test\ndkim_selector = hato#\n', dns=names,
                   services={'submission': f'smtpd {__import__("hato").AUTH} -o smtpd_relay_restrictions=permit_sasl_authenticated,reject'},
                   accounts=['user1@own.test'])
    wait_until(lambda: len(keys(server, 'own.test')) >= 2, 30)
    with open(folder + '/dnsdata', 'w') as f:
        f.writelines(f"{k['name']} {k['value']}\n" for k in keys(server, 'own.test'))
    os.chmod(folder + '/dnsdata', 0o644)
    milter_port = free_port()
    daemon = subprocess.Popen(['/usr/sbin/opendkim', '-f', '-x', '/dev/stdin'], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    daemon.stdin.write(f'TestDNSData file:{folder}/dnsdata\nSocket inet:{milter_port}@127.0.0.1\nMode v\nSyslog no\nAuthservID mx.far.test\n'
                       'MaximumSignaturesToVerify 5\nInternalHosts 10.1.1.1\nAlwaysAddARHeader yes\nBackground no\n'.encode())
    daemon.stdin.close()
    try:
        wait_port(milter_port)
        far = postfix('far.test', users=['joe'], address=address, dns=names, main=f'smtpd_milters = inet:127.0.0.1:{milter_port}\n')
        with server.smtp('submission') as s:  # as Gmail does it
            s.starttls(context=NO_NAME)
            s.ehlo()
            s.user, s.password = 'user1@own.test', 'secret'
            assert s.auth('LOGIN', s.auth_login)[0] == 235
            s.sendmail('user1@own.test', ['joe@far.test'], message('user1@own.test', 'joe@far.test', 'signed here'))
        server.wait_log('sasl_method=LOGIN, sasl_username=user1@own.test')
        mail = wait_until(lambda: far.messages('joe'), 30, lambda: 'delivery; ' + server.log()[-1500:] + far.log()[-1500:])[0]
        results = ' '.join(mail.get_all('Authentication-Results') or [])
        assert re.search(r'dkim=pass .*2048-bit key.*header\.d=own\.test', results, re.S), results
    finally:
        end_process(daemon)


# ---- ARC ----

def test_signed_by_its_author_and_sealed_by_us(world, hosts):
    """Both seals of a letter are good at the next server: the author's signature, and our chain over it."""
    server, far, zone = world(networks='127.0.0.0/24')
    pem = subprocess.run(['openssl', 'genrsa', '-traditional', '1024'], capture_output=True, check=True).stdout
    der = subprocess.run(['openssl', 'rsa', '-pubout', '-outform', 'DER'], input=pem, capture_output=True, check=True).stdout
    zone.update({'s._domainkey.else.test': f'v=DKIM1; p={base64.b64encode(der).decode()}', '_dmarc.else.test': 'v=DMARC1; p=reject',
                 'else.test': 'v=spf1 ip4:127.99.1.1 -all', 'own.test': 'v=spf1 ip4:127.0.0.0/8 -all'})
    zone.address = own_address()
    names = dnsd.Dnsd(zone)
    try:
        receiver = hosts('mx.far.test', '', dns=names, address=zone.address, ports={'smtp': 25}, networks='127.0.0.250/32', accounts=['joe@far.test'])
        server.hato('alias', 'add', 'away@own.test', 'joe@far.test')
        text = TEXT.replace('ann@own.test', 'x@else.test').replace('x' * 2500, 'x').encode()
        with server.dialogue(source='127.99.1.1') as talk:
            talk.ehlo()
            talk.envelope('x@else.test', 'away@own.test')
            talk.say('DATA', 354)
            talk.say((dkim.sign(text, b's', b'else.test', pem, canonicalize=(b'relaxed', b'relaxed')) + text).decode().replace('\r\n.', '\r\n..') + '.', 250)
        mail = receiver.wait_message('joe@far.test', 'dinner')
        found = ' '.join(mail['Authentication-Results'].split())
        for what in (r'dkim=pass header\.d=else\.test', r'arc=pass', r'dmarc=pass .* header\.from=else\.test', r'spf=pass smtp\.mailfrom="?SRS0='):
            assert re.search(what, found), found
        assert 'd=own.test' in mail['ARC-Seal'] and 'd=own.test' not in mail['DKIM-Signature']
    finally:
        names.stop()


def test_forwarded_mail_is_sealed(world):
    server, far, zone = world(networks='127.0.0.0/24', main='spf_check = yes\n')
    server.hato('alias', 'add', 'away@own.test', 'joe@far.test')
    zone['else.test'] = 'v=spf1 ip4:127.99.1.1 -all'
    import smtplib
    with smtplib.SMTP(server.address, server.ports['smtp'], source_address=('127.99.1.1', 0), timeout=30) as s:
        s.sendmail('x@else.test', ['away@own.test'], TEXT.replace('ann@own.test', 'x@else.test'))
    raw = received(far)
    assert raw.index(b'ARC-Seal:') < raw.index(b'Received:') and b'DKIM-Signature' not in raw
    assert b'd=own.test' in raw and b'cv=none' in raw
    cv, results, reason = dkim.arc_verify(raw, dnsfunc=zone.dkimpy)
    assert cv == b'pass', (reason, raw)
