# SPDX-License-Identifier: Apache-2.0
"""Settings files of OpenDKIM, OpenDMARC, policyd-spf and PostSRSd that were brought along: each key acts, or says why not."""
import json, os, re, subprocess
import pytest
from around import *
from nsd import Nsd
import databases, dnsd

pytestmark = pytest.mark.root
RECORDS = '''own.test TXT "v=spf1 ip4:127.0.0.2 -all"
soft.test TXT "v=spf1 ~all"
hard.test TXT "v=spf1 -all"
trusted.test TXT "v=spf1 ip4:127.0.0.44 -all"
broken.test TXT "v=spf1 wrong"
policy.test TXT "v=spf1 ip4:127.0.0.9 -all"
_dmarc.policy.test TXT "v=DMARC1; p=quarantine; sp=reject; pct=100; aspf=s; rua=mailto:r@policy.test"
far.test MX 10 mx.far.test.
'''


def settings_of(server):
    out = subprocess.run([os.path.join(os.path.dirname(HATO), 'postconf'), '-c', server.folder], capture_output=True, text=True).stdout
    return dict(line.split(' = ', 1) if ' = ' in line else (line.rstrip(' ='), '') for line in out.splitlines())


@pytest.fixture
def site(hosts, dns, sink, folder):
    def make(text, setting, main='', records='', **more):
        path = f'{folder}/brought.conf'
        with open(path, 'w') as f:
            f.write(text)
        far = sink(address=own_address(), port=25)
        names = dns(f'mx.far.test A {far.address}\n{RECORDS}{records}')
        server = hosts('mail.own.test', f'{setting} = {path}\nsmtpd_authorized_xclient_hosts = 127.0.0.0/8\nsmtpd_peername_lookup = no\n{main}', dns=names,
                       accounts=['ann@own.test'], **more)
        wait_until(lambda: 'hato1e' in server.hato('dkim', 'show', 'own.test', check=False).stdout, 30, 'keys')
        return server, far
    return make


def send(server, sender='ann@own.test', to='joe@far.test', client='127.0.0.2', name='[UNAVAILABLE]', helo='client.test', author=None, extra='', expect=250):
    with server.dialogue() as talk:
        talk.ehlo()
        talk.say(f'XCLIENT ADDR={client} NAME={name}', 220)
        talk.ehlo(helo)
        talk.say(f'MAIL FROM:<{sender}>', 250)
        code, text = talk.say(f'RCPT TO:<{to}>')
        if code != 250:
            assert code == expect, text
            return text
        talk.say('DATA', 354)
        return talk.say(extra.replace('\n', '\r\n') + message(author or sender, to, 'letter') + '.', expect)[1]


def sent(far, n):
    wait_until(lambda: len(far.messages) >= n, 20, lambda: f'{n} messages')
    text = far.messages[n - 1][2]
    return text if isinstance(text, str) else text.decode('latin-1')


OPENDKIM = '''Mode sv
InternalHosts 127.0.0.2, client.friend.test, .branch.test
PeerList 127.0.0.66, .peer.test
ExemptDomains exempt.test
DontSignMailTo quiet@far.test, *@never.far.test
MTA ORIGINATING
MacroList client_name|macro.test|other.test, {auth_type}, if_name
MustBeSigned Subject, X-Important
LogWhy yes
NoHeaderB yes
Minimum 80%
AuthservIDWithJobID yes
SoftwareHeader yes
'''


def test_who_is_signed(site):
    server, far = site(OPENDKIM, 'opendkim_config', 'spf_check = no\ndmarc_check = no\n', networks='127.0.0.0/8')
    n = 0
    for what, signed, why in [
            (dict(), True, None),
            (dict(client='127.0.0.9'), False, r'unknown \[127.0.0.9\] not internal'),
            (dict(client='127.0.0.9', name='client.friend.test'), True, None), (dict(client='127.0.0.9', name='x.branch.test'), True, None),
            (dict(client='127.0.0.9', name='branch.test'), False, r'branch.test \[127.0.0.9\] not internal'),
            (dict(client='127.0.0.9', name='macro.test'), True, None),
            (dict(client='127.0.0.66', name='macro.test'), False, None), (dict(client='127.0.0.2', name='a.peer.test'), False, None),
            (dict(author='a@exempt.test'), False, None), (dict(to='quiet@far.test'), False, None),
            (dict(author='a@else.test'), False, "no signing table match for 'a@else.test'")]:
        before = len(server.log())
        send(server, **what)
        n += 1
        text = sent(far, n)
        assert ('DKIM-Signature' in text) == signed, (what, server.log()[before:])
        if why:
            wait_until(lambda: re.search(why, server.log()[before:]), 10, lambda: why + server.log()[before:])
    assert 'not authenticated' in server.log() and 'no macros match' in server.log() and 'no MTA name match' in server.log()
    said = server.hato('check', check=False)
    assert 'no macro "if_name"' in said.stdout + said.stderr


def test_a_service_by_its_milter_name(site):
    server, far = site('MTA ORIGINATING\nInternalHosts 127.0.0.77\n', 'opendkim_config',
                       'milter_macro_daemon_name = ORIGINATING\n', networks='127.0.0.0/8')
    send(server, client='127.0.0.9')
    assert 'DKIM-Signature' in sent(far, 1)


def test_what_must_be_signed_ids_and_software(site):
    import base64, dkim
    pem = subprocess.run(['openssl', 'genrsa', '-traditional', '1024'], capture_output=True, check=True).stdout
    der = subprocess.run(['openssl', 'rsa', '-pubout', '-outform', 'DER'], input=pem, capture_output=True, check=True).stdout
    server, far = site(OPENDKIM, 'opendkim_config', 'dmarc_software_header = yes\n', networks='127.0.0.2/32',
                       records=f'k._domainkey.signer.test TXT "v=DKIM1; p={base64.b64encode(der).decode()}"\n')

    def results(fields, extra=''):
        text = (extra + 'From: a@signer.test\nTo: ann@own.test\nSubject: x\n\nhello\n').replace('\n', '\r\n').encode()
        field = dkim.sign(text, b'k', b'signer.test', pem, include_headers=fields).decode()
        with server.dialogue() as talk:
            talk.ehlo()
            talk.say('XCLIENT ADDR=127.0.0.9 NAME=[UNAVAILABLE]', 220)
            talk.ehlo()
            talk.envelope('a@signer.test', 'ann@own.test')
            talk.say('DATA', 354)
            talk.say(field + text.decode() + '.', 250)
    results([b'from', b'subject'])
    results([b'from'])
    results([b'from', b'subject'], 'X-Important: yes\n')
    wait_until(lambda: len(server.messages('ann@own.test')) == 3, 20, 'three messages')
    fields = [' '.join(m['Authentication-Results'].split()) for m in server.messages('ann@own.test')]
    assert 'dkim=pass' in fields[0] and 'dkim=policy' in fields[1] and 'the field Subject is not signed' in fields[1] and 'the field X-Important' in fields[2]
    assert 'header.b' not in ''.join(fields)
    m = server.messages('ann@own.test')[0]
    queue_id = re.search(r'with E?SMTP id (\w+)', m['Received'])[1]
    assert fields[0].startswith(f'"mail.own.test/{queue_id}";')
    assert re.fullmatch(rf'hato v\S+ mail\.own\.test {queue_id}', m['DKIM-Filter']) and m['DMARC-Filter'] == m['DKIM-Filter']
    # nobody else can write such a field
    send(server, sender='a@signer.test', to='ann@own.test', client='127.0.0.9', extra='Authentication-Results: mail.own.test/abc; spf=pass smtp.mailfrom=x\n')
    m = server.wait_message('ann@own.test', 'letter')
    assert 'abc' not in str(m.get_all('Authentication-Results'))


def signed_mail(pem, author='a@signer.test', selector=b'k', domain=None, spoil=False, subject='x'):
    import dkim
    text = f'From: {author}\r\nTo: ann@own.test\r\nSubject: {subject}\r\n\r\nhello\r\n'.encode()
    field = dkim.sign(text, selector, (domain or author.split('@')[1]).encode(), pem, include_headers=[b'from', b'subject']).decode()
    return field + text.decode() + ('added on the way\r\n' if spoil else '')


def hand_in(server, text, expect, to='ann@own.test', client='127.0.0.9'):
    with server.dialogue() as talk:
        talk.ehlo()
        talk.say(f'XCLIENT ADDR={client} NAME=[UNAVAILABLE]', 220)
        talk.ehlo()
        talk.envelope('a@signer.test', to)
        talk.say('DATA', 354)
        return talk.say(text + '.', expect)[1]


@pytest.fixture(scope='module')
def signer_key():
    import base64
    pem = subprocess.run(['openssl', 'genrsa', '-traditional', '1024'], capture_output=True, check=True).stdout
    der = subprocess.run(['openssl', 'rsa', '-pubout', '-outform', 'DER'], input=pem, capture_output=True, check=True).stdout
    record = base64.b64encode(der).decode()
    return pem, ''.join(f'k._domainkey.{d} TXT "v=DKIM1; p={record}"\n' for d in ('signer.test', 'list.test')) + \
        f'testing._domainkey.signer.test TXT "v=DKIM1; t=y; p={record}"\n'


def test_what_dkim_alone_is_good_for(site, signer_key):
    """On-BadSignature and its like, Quarantine, TrustSignaturesFrom; a key in test mode bypasses them (opendkim.conf(5))."""
    pem, records = signer_key
    server, far = site('Mode sv\nOn-Default r\nOn-BadSignature reject\nOn-KeyNotFound discard\nOn-NoSignature t\nOn-Security t\nTrustSignaturesFrom friend.test\n',
                       'opendkim_config', 'dmarc_check = no\nspf_check = no\n', networks='127.0.0.2/32', records=records)
    warned = server.hato('check', check=False)
    assert 'dkim_on_bad_signature = reject: mailing lists and forwarders break signatures' in warned.stdout + warned.stderr
    assert 'dkim_on_key_not_found = discard' in warned.stdout + warned.stderr
    said = hand_in(server, signed_mail(pem, spoil=True), 550)
    assert '5.7.20 bad DKIM signature data (d=signer.test s=k): the body was changed after signing' in said
    assert '4.7.20 no DKIM signature' in hand_in(server, message('a@signer.test', 'ann@own.test', 'bare'), 451)
    # a signature of somebody else, who is not trusted, is none
    assert '4.7.20 no DKIM signature' in hand_in(server, signed_mail(pem, domain='list.test'), 451)
    hand_in(server, signed_mail(pem, selector=b'absent', subject='thrown away'), 250)
    wait_until(lambda: 'milter-discard' in server.log(), 10, server.log)
    hand_in(server, signed_mail(pem, selector=b'testing', spoil=True, subject='a test'), 250)
    hand_in(server, signed_mail(pem, subject='good'), 250)
    hand_in(server, signed_mail(pem, author='a@sub.signer.test', domain='signer.test', subject='of a domain above'), 250)
    wait_until(lambda: len(server.messages('ann@own.test')) == 3, 20, 'three messages')
    assert [m['Subject'] for m in server.messages('ann@own.test')] == ['a test', 'good', 'of a domain above']
    # who has logged in and our own networks are not asked
    send(server, to='ann@own.test')
    server.wait_message('ann@own.test', 'letter')


def test_failures_held_and_redirected(site, signer_key):
    pem, records = signer_key
    server, far = site('Mode sv\nQuarantine yes\n', 'opendkim_config', 'dmarc_check = no\nspf_check = no\n', networks='127.0.0.2/32', records=records)
    hand_in(server, signed_mail(pem, spoil=True), 250)
    wait_until(lambda: re.search(r'(?m)^\w+! ', server.hato('queue', 'list').stdout) or 'hold' in server.hato('queue', 'list').stdout, 10,
               lambda: server.hato('queue', 'list').stdout + server.log())
    assert server.messages('ann@own.test') == []
    server.account('watch@own.test')
    with open(server.folder + '/main.cf', 'a') as f:
        f.write('dkim_on_bad_signature = accept\ndkim_redirect_failures_to = watch@own.test\n')
    server.hato('reload')
    hand_in(server, signed_mail(pem, spoil=True, subject='bent'), 250)
    m = server.wait_message('watch@own.test', 'bent')
    assert m['X-Original-To'] == 'ann@own.test' and 'dkim=fail' in m['Authentication-Results']
    assert server.messages('ann@own.test') == []


@pytest.mark.parametrize('line, code', [('On-DNSError tempfail', 451), ('', 451), ('On-Default accept', 250), ('On-DNSError accept', 250)])
def test_dns_error_of_a_key(site, signer_key, line, code):
    """Without a line it is put off, as by OpenDKIM."""
    pem, _ = signer_key
    with dnsd.Dnsd(lambda name, kind: dnsd.TIMEOUT if 'dead.test' in name.to_text() else None) as silent:
        server, far = site(f'Mode sv\n{line}\n', 'opendkim_config',
                           f'dns_resolvers = {silent.address}:{silent.port}\ndmarc_check = no\nspf_check = no\nsender_check_timeout = 4s\n', networks='127.0.0.2/32')
        said = hand_in(server, signed_mail(pem, domain='dead.test'), code)
        assert code == 250 or '4.7.20 DKIM key lookup failed (d=dead.test s=k)' in said


@pytest.mark.parametrize('line, result', [('UnprotectedKey fail', 'fail'), ('UnprotectedKey Neutral', 'neutral'), ('UnprotectedKey none', 'pass'), ('', 'pass')])
def test_a_key_without_dnssec(tmp_path, signer_key, line, result):
    """UnprotectedKey: a good signature whose key DNSSEC does not prove; one that it proves is good always."""
    pem, records = signer_key
    key = re.search(r'TXT (".*?")', records)[1]
    zone = Nsd(tmp_path / 'dns', f'k._domainkey.proved.dane TXT {key}\nbare.dane NS ns.bare.dane.\nns.bare.dane A 127.0.0.1\n', signed=True,
               zones={'bare.dane': f'ns A 127.0.0.1\nk._domainkey TXT {key}\n'}).start()
    try:
        (tmp_path / 'dkim.conf').write_text(f'Mode sv\n{line}\n')
        (tmp_path / 'main.cf').write_text(f'myhostname = mail.own.test\ndata_directory = {tmp_path}/data\ncompatibility_level = 3.6\n'
                                          f'opendkim_config = {tmp_path}/dkim.conf\ndns_resolvers = {zone.address}:{zone.port}\n'
                                          f'dns_trust_anchor_file = {zone.anchor}\n')
        for domain, want in (('proved.dane', 'pass'), ('bare.dane', result)):
            (tmp_path / 'mail').write_text(signed_mail(pem, author=f'a@{domain}'))
            done = subprocess.run([HATO, '-c', tmp_path, 'check-mail', '--json', '--client-ip', '192.0.2.1', '--helo', 'x.test', '--mail-from',
                                   f'a@{domain}', tmp_path / 'mail'], capture_output=True, text=True)
            dkim = json.loads(done.stdout)['dkim'][0]
            assert (done.returncode, dkim['result']) == (0, want), (domain, done.stdout, done.stderr)
            assert want == 'pass' or 'DNSSEC does not prove the key' in dkim['reason']
    finally:
        zone.stop()


@pytest.mark.parametrize('setting, manual', [('opendkim_config', 'opendkim.conf'), ('opendmarc_config', 'opendmarc.conf')])
def test_every_key_of_the_manual_is_known(tmp_path, setting, manual):
    """opendkim.conf(5) and opendmarc.conf(5) of this system: no key is unknown, and what is not acted on says why."""
    text = subprocess.run(['man', '-P', 'cat', manual], capture_output=True, text=True, env={**os.environ, 'MANWIDTH': '200'}).stdout
    keys = [k for k in re.findall(r'(?m)^ {7}([A-Z][A-Za-z0-9-]+) \(', text) if k not in ('Include', 'Copyright')]
    if len(keys) < 30:
        pytest.skip(f'no {manual}(5)')
    (tmp_path / 'brought.conf').write_text(''.join(f'{k} yes\n' for k in keys))
    (tmp_path / 'main.cf').write_text(f'compatibility_level = 3.6\nmyhostname = mx.home.test\ndata_directory = {tmp_path}/data\n{setting} = {tmp_path}/brought.conf\n')
    done = subprocess.run([HATO, '-c', str(tmp_path), 'check'], capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert 'brought.conf, line' in said
    assert 'no such setting' not in said, re.findall('.*no such setting.*', said)
    assert 'this version of hato does not do it' not in said, re.findall('.*does not do it.*', said)


def test_what_counts_is_named(tmp_path):
    """Two brought files that set the same thing: the file that counts is named, and a limit of 0 is none."""
    (tmp_path / 'dkim.conf').write_text('AuthservID one.test\nMaximumSignedBytes 0\n')
    (tmp_path / 'dmarc.conf').write_text('AuthservID two.test\n')
    (tmp_path / 'main.cf').write_text(f'myhostname = mail.own.test\ndata_directory = {tmp_path}/data\ncompatibility_level = 3.6\n'
                                      f'opendkim_config = {tmp_path}/dkim.conf\nopendmarc_config = {tmp_path}/dmarc.conf\n')
    said = subprocess.run([HATO, '-c', tmp_path, 'check'], capture_output=True, text=True).stderr
    assert f'{tmp_path}/dmarc.conf, line 1: authserv_id is set in {tmp_path}/dkim.conf, which counts' in said
    assert 'MaximumSignedBytes' not in said


def test_short_keys_are_never_proof(tmp_path):
    """RFC 8301 §3.2: neither file can make a key of less than 1024 bits count; a moved-in one stops no start."""
    (tmp_path / 'master.cf').write_text(f'127.0.0.1:{free_port()} inet n - n - - smtpd\n')  # by default it is 25, which another may hold
    (tmp_path / 'dkim.conf').write_text('MinimumKeyBits 512\n')
    (tmp_path / 'data').mkdir()
    main = f'myhostname = mail.own.test\ndata_directory = {tmp_path}/data\ncompatibility_level = 3.6\nopendkim_config = {tmp_path}/dkim.conf\n'

    def check(more):
        (tmp_path / 'main.cf').write_text(main + more)
        done = subprocess.run([HATO, '-c', tmp_path, 'check'], capture_output=True, text=True)
        return done.returncode, done.stderr
    code, said = check('')
    assert 'dkim.conf, line 1: MinimumKeyBits' in said and '1024 stays' in said, said
    assert code == 0, said
    refused, said = check('dkim_key_bits_min = 512\n')
    assert refused and 'dkim_key_bits_min' in said and '1024' in said, said


def test_opendmarcs_history(site, folder):
    history = f'{folder}/history'
    server, _ = site(f'HistoryFile {history}\nIgnoreMailTo quiet@own.test\nRejectFailures true\n', 'opendmarc_config', networks='127.0.0.2/32')
    server.account('quiet@own.test')
    os.chmod(folder, 0o777)
    for sender, to in [('a@policy.test', 'ann@own.test'), ('a@x.policy.test', 'ann@own.test'), ('a@policy.test', 'quiet@own.test'), ('a@none.test', 'ann@own.test')]:
        send(server, sender, to, client='127.0.0.9', expect=550 if sender == 'a@x.policy.test' else 250)
    wait_until(lambda: os.path.exists(history) and open(history).read().count('action') == 2, 20, lambda: server.log()[-2000:])
    blocks = [dict(line.split(' ', 1) for line in block.splitlines()) for block in re.split(r'(?m)^(?=job )', open(history).read()) if block]
    assert [b['from'] for b in blocks] == ['policy.test', 'x.policy.test'] and blocks[0]['mfrom'] == 'policy.test'
    assert blocks[0]['policy'] == '15' and blocks[0]['action'] == '2' and blocks[0]['align_spf'] == '4' and blocks[0]['spf'] == '0'
    assert blocks[1]['policy'] == '16' and blocks[1]['action'] == '0' and blocks[1]['align_spf'] == '5' and blocks[1]['spf'] == '6'
    for b in blocks:
        assert (b['pdomain'], b['rua'], b['pct'], b['adkim'], b['aspf'], b['p'], b['sp']) == \
            ('policy.test', 'mailto:r@policy.test', '100', '114', '115', '113', '114')


SCHEMA = '/usr/share/dbconfig-common/data/opendmarc/install/mysql'


@pytest.mark.skipif(subprocess.run(['/usr/sbin/opendmarc-import', '--help'], capture_output=True).returncode not in (0, 1) or not os.path.exists(SCHEMA)
                    or bool(databases.MariaDB.missing()), reason='opendmarc-import needs libdbd-mysql-perl, libswitch-perl and mariadb-server')
def test_opendmarc_import_reads_the_history(site, folder):
    history = f'{folder}/history'
    server, _ = site(f'HistoryFile {history}\n', 'opendmarc_config', networks='127.0.0.2/32')
    os.chmod(folder, 0o777)
    for sender in ('a@policy.test', 'a@policy.test', 'a@x.policy.test'):
        send(server, sender, 'ann@own.test', client='127.0.0.9')
    wait_until(lambda: os.path.exists(history) and open(history).read().count('action') == 3, 20, lambda: server.log()[-2000:])
    db = databases.MariaDB(f'{folder}/maria')
    try:
        db.sql('CREATE DATABASE opendmarc; CREATE USER importer IDENTIFIED BY "secret"; GRANT ALL ON opendmarc.* TO importer')
        db.sql(f'USE opendmarc; SOURCE {SCHEMA};')
        done = subprocess.run(['/usr/sbin/opendmarc-import', '--dbhost=127.0.0.1', f'--dbport={db.port}', '--dbname=opendmarc', '--dbuser=importer',
                               '--dbpasswd=secret', '--verbose', f'--input={history}'], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done
        rows = db.sql('SELECT d.name, i.addr, m.disp, m.spf, m.align_spf FROM opendmarc.messages m JOIN opendmarc.domains d ON d.id = m.from_domain'
                      ' JOIN opendmarc.ipaddr i ON i.id = m.ip ORDER BY m.id').stdout.splitlines()[1:]
        assert [r.split('\t')[:2] for r in rows] == [['policy.test', '127.0.0.9'], ['policy.test', '127.0.0.9'], ['x.policy.test', '127.0.0.9']], (rows, done)
        assert db.sql('SELECT count(*) FROM opendmarc.requests WHERE repuri = "mailto:r@policy.test"').stdout.split()[-1] != '0'
    finally:
        db.finish()


POLICYD = '''debugLevel = 1
TestOnly = 1
HELO_reject = Null
Mail_From_reject = Softfail   # as strict as it gets
PermError_reject = True
TempError_Defer = True
skip_addresses = 127.0.0.0/31,::ffff:127.0.0.0/104,::1
Whitelist = 127.0.0.50
HELO_Whitelist = helper.test
Domain_Whitelist = trusted.test
Domain_Whitelist_PTR = ptr.test
Reject_Not_Pass_Domains = neutral.test
Header_Type = SPF
Lookup_Time = 12
No_Mail = True
Wrong_Key = 1
'''


def test_policyd_spf_conf(site):
    server, _ = site(POLICYD, 'policyd_spf_config', 'dmarc_check = no\n', records='neutral.test TXT "v=spf1 ?all"\n', networks='127.0.0.2/32')
    said = server.hato('check', check=False)
    said = said.stdout + said.stderr
    assert 'Wrong_Key: no such setting of policyd-spf' in said and 'No_Mail: what is refused depends on the result' in said
    s = settings_of(server)
    assert (s['spf_fail_results'], s['spf_helo_fail_results'], s['spf_temperror_action'], s['spf_timeout']) == ('fail softfail permerror', 'fail null permerror', 'defer', '12s')

    def try_(sender, client='127.0.0.9', **more):
        text = send(server, sender, 'ann@own.test', client, **more)
        return text
    assert 'SPF softfail - not authorized' in try_('a@soft.test', expect=550)
    assert '5.7.23' in try_('a@hard.test', expect=550)
    assert 'neutral' in try_('a@neutral.test', expect=550) and 'permerror' in try_('a@broken.test', expect=550)
    for client, name in [('127.0.0.1', '[UNAVAILABLE]'), ('127.0.0.50', '[UNAVAILABLE]'), ('127.0.0.9', 'helper.test'), ('127.0.0.9', 'x.ptr.test'), ('127.0.0.44', '[UNAVAILABLE]')]:
        try_('a@hard.test', client, name=name)
    try_('a@nothing.test', helo='hard.test')  # HELO counts for mail without a sender only
    assert 'hard.test' in send(server, '', 'ann@own.test', '127.0.0.9', helo='hard.test', author='x@nothing.test', expect=550)
    assert 'Received-SPF' in str(server.wait_message('ann@own.test', lambda m: 'nothing.test' in m['From']).items())


def test_policyd_spf_only_tests(site):
    server, _ = site('TestOnly = 0\nHeader_Type = None\n', 'policyd_spf_config', 'dmarc_check = no\n', networks='127.0.0.2/32')
    send(server, 'a@hard.test', 'ann@own.test', '127.0.0.9')
    assert 'Received-SPF' not in server.wait_message('ann@own.test', 'letter')


@pytest.mark.parametrize('text', ['''# PostSRSd 2
domains = { "friend.test",
   "other.test" } # ours
domains-file = "{folder}/more"
srs-domain = "bounces.own.test"
separator = "+"
hash-length = 6
hash-minimum = 5
secrets-file = "{folder}/secret"
original-envelope = database
envelope-database = "sqlite:/x"
socketmap = unix:srs
always-rewrite = on
''', '''SRS_DOMAIN=bounces.own.test
SRS_EXCLUDE_DOMAINS="friend.test,other.test third.test"
SRS_SEPARATOR=+
SRS_HASHLENGTH=6
SRS_HASHMIN='5'
SRS_SECRET={folder}/secret
SRS_FORWARD_PORT=10001
SRS_SENDER_CLASSES=envelope_sender,header_sender
RUN_AS=postsrsd
'''], ids=['2', '1'])
def test_postsrsds_settings(site, folder, text):
    for name, content in [('more', 'third.test # a comment\n'), ('secret', 'a secret\n')]:
        with open(f'{folder}/{name}', 'w') as f:
            f.write(content)
    two = 'PostSRSd 2' in text
    server, far = site(text.replace('{folder}', folder), 'postsrsd_config', f'virtual_alias_domains = fwd.test\nvirtual_alias_maps = inline:{{shop@fwd.test=joe@far.test}}\n')
    said = server.hato('check', check=False)
    said = said.stdout + said.stderr
    assert ('database' in said) if two else ('header_sender: only the envelope' in said), said
    s = settings_of(server)
    assert s['srs_exclude_domains'].split() == ['friend.test', 'other.test', 'third.test']
    assert (s['srs_domain'], s['srs_separator'], s['srs_hash_length'], s['srs_hash_min'], s['srs']) == ('bounces.own.test', '+', '6', '5', 'yes' if two else 'auto')
    send(server, 'a@hard.test', 'shop@fwd.test', '127.0.0.9', author='a@nothing.test')
    sent(far, 1)
    assert re.fullmatch(r'SRS0\+.{6}=..=hard\.test=a@bounces\.own\.test', far.messages[0][0]), far.messages[0][0]
    send(server, 'a@third.test', 'shop@fwd.test', '127.0.0.9')
    sent(far, 2)
    assert far.messages[1][0] == 'a@third.test'
