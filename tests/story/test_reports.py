# SPDX-License-Identifier: Apache-2.0
"""Reports: what others say about mail in our name is read, kept and explained, whoever wrote it; what we found out about theirs
reaches them once, in the form of the RFC."""
import base64, glob, gzip, io, json, os, re, shutil, subprocess, time, zipfile, zlib
import email, email.mime.application, email.mime.multipart, email.mime.text
import pytest
import dns.name, dns.rdata, dns.rdataclass, dns.rdatatype
import dnsd
from around import *
from test_proof import offer, text

DATA = TOP + '/tests/data/reports'
SAMPLES = sorted(f for f in glob.glob(DATA + '/**/*', recursive=True)
                 if os.path.isfile(f) and not f.endswith('SOURCE') and not ('mail-auth' in f and f.endswith('.json') and 'tlsrpt' not in f))
DMARC, TLS = 'dmarc-reports@home.test', 'tlsrpt@home.test'


def feedback(domain='home.test', rows=(('203.0.113.5', 3, 'pass', 'pass', 'none'),), report_id='1', begin=None, org='Receiver', policy='none'):
    begin = begin or int(time.time()) // 86400 * 86400 - 86400
    records = ''.join(
        f'<record><row><source_ip>{ip}</source_ip><count>{n}</count><policy_evaluated><disposition>{done}</disposition><dkim>{dkim}</dkim>'
        f'<spf>{spf}</spf></policy_evaluated></row><identifiers><header_from>{domain}</header_from></identifiers><auth_results>'
        f'<spf><domain>bounce.{domain}</domain><result>{"pass" if spf == "pass" else "softfail"}</result></spf></auth_results></record>'
        for ip, n, dkim, spf, done in rows)
    return (f'<?xml version="1.0"?><feedback><report_metadata><org_name>{org}</org_name><email>x@r.test</email><report_id>{report_id}</report_id>'
            f'<date_range><begin>{begin}</begin><end>{begin + 86399}</end></date_range></report_metadata><policy_published><domain>{domain}'
            f'</domain><p>{policy}</p></policy_published>{records}</feedback>').encode()


def attached(data, name='r.xml.gz', kind='gzip', subject='Report Domain: home.test'):
    mail = email.mime.multipart.MIMEMultipart()
    mail['From'], mail['To'], mail['Subject'] = 'reports@r.test', DMARC, subject
    mail.attach(email.mime.text.MIMEText('This is a report.'))
    part = email.mime.application.MIMEApplication(data, kind)
    part.add_header('Content-Disposition', 'attachment', filename=name)
    mail.attach(part)
    return mail.as_string().replace('\n', '\r\n')


def reports(server, *args):
    return json.loads(server.hato('reports', *args, '--json').stdout)


def wait_reports(server, truth, *args):
    return wait_until(lambda: (got := reports(server, *args)) and truth(got) and got, 20, lambda: f'reports, not {reports(server, *args)}')


def pick(list_, **wanted):
    found = [x for x in list_ if all(x[k] == v for k, v in wanted.items())]
    assert len(found) == 1, (wanted, list_)
    return found[0]


# reading files: no server, no settings

def parse(file, *args, code=0, input=None):
    done = subprocess.run([HATO, '-c', '/nonexistent', 'reports', 'parse', '--json', *args, file], capture_output=True, timeout=60 * SLOW, input=input)
    assert done.returncode == code, (file, done)
    return [json.loads(l) for l in done.stdout.decode().splitlines()], done.stderr.decode()


def test_every_sample_is_read(counted):
    kinds = {}
    for file in SAMPLES:
        for report in parse(file)[0]:
            kinds[report['type']] = kinds.get(report['type'], 0) + 1
            if report['type'] == 'dmarc':
                assert report['record'] and report['policy_published']['domain'], file
            elif report['type'] == 'tls-rpt':
                assert report['policies'][0]['policy']['policy-domain'], file
    counted('reports, samples read', len(SAMPLES) - kinds.get('refused', 0), len(SAMPLES), ', '.join(f'{k}: {n}' for k, n in sorted(kinds.items())))
    assert sum(kinds.values()) >= len(SAMPLES) == 32 and 'refused' not in kinds


def plain(value):
    """As another program's JSON says it: no case, no separators."""
    return re.sub(r'[^a-z0-9]', '', str(value).lower()) if value is not None else ''


@pytest.mark.parametrize('expected', sorted(glob.glob(DATA + '/dmarc/mail-auth/*.json')), ids=os.path.basename)
def test_dmarc_reports_say_what_another_program_reads(expected):
    with open(expected) as f:
        want = json.load(f)
    got = parse([f for f in glob.glob(expected[:-5] + '.*') if not f.endswith('.json')][0])[0][0]
    assert got['report_metadata']['report_id'] == want['report_metadata']['report_id']
    assert got['report_metadata']['date_range'] == want['report_metadata']['date_range']
    assert got['policy_published']['domain'] == want['policy_published']['domain']
    assert plain(got['policy_published']['p']) == plain(want['policy_published']['p'])
    assert len(got['record']) == len(want['record'])
    for g, w in zip(got['record'], want['record']):
        assert (g['row']['source_ip'], g['row']['count']) == (w['row']['source_ip'], w['row']['count'])
        for key in ('disposition', 'dkim', 'spf'):
            assert plain(g['row']['policy_evaluated'][key]) == plain(w['row']['policy_evaluated'][key])
        assert g['identifiers']['header_from'] == w['identifiers']['header_from']
        for kind in ('dkim', 'spf'):
            assert [(x['domain'], plain(x['result'])) for x in g['auth_results'][kind]] == \
                   [(x['domain'], plain(x['result'])) for x in w['auth_results'][kind]]


@pytest.mark.parametrize('expected', sorted(glob.glob(DATA + '/tlsrpt/mail-auth/*.json')), ids=os.path.basename)
def test_tls_reports_say_what_is_in_them(expected):
    with open(expected) as f:
        want = json.load(f)
    got = parse(expected[:-5] + '.eml')[0][0]

    def without_nulls(x):
        if isinstance(x, dict):
            return {k: without_nulls(v) for k, v in x.items() if v not in (None, []) and k not in ('type', 'file')}
        return [without_nulls(v) for v in x] if isinstance(x, list) else x.strip() if isinstance(x, str) else x
    assert without_nulls(got) == without_nulls(want)


@pytest.mark.parametrize('expected', sorted(glob.glob(DATA + '/arf/mail-auth/*.json')), ids=os.path.basename)
def test_arf_says_what_another_program_reads(expected):
    with open(expected) as f:
        want = json.load(f)
    got = parse(expected[:-5] + '.eml')[0][0]
    for key in ('feedback_type', 'auth_failure'):
        if want[key] != 'Unspecified':
            assert plain(got[key]) == plain(want[key])
    for key in ('source_ip', 'original_mail_from', 'user_agent', 'incidents', 'reported_domain', 'dkim_domain', 'dkim_selector', 'reporting_mta'):
        assert (got[key] or None) == (want[key] or None), key


def zipped(*files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED) as z:
        for name, data in files:
            z.writestr(name, data)
    return out.getvalue()


LAUGHS = b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">' + b''.join(
    f'<!ENTITY {c} "{f"&{p};" * 10}">'.encode() for p, c in zip('abcdefgh', 'bcdefghi')) + b']><feedback><version>&i;</version></feedback>'
HOSTILE = {
    'bomb in gzip': (gzip.compress(b'<feedback>' + b' ' * (80 << 20)), 'bomb'),
    'bomb in zip': (zipped(('a.xml', b' ' * (80 << 20))), 'bomb'),
    'bombs in zip': (zipped(*[(f'{i}.xml', os.urandom(1000) * 3000) for i in range(15)]), 'bomb'),
    'zip in zip': (zipped(('a.zip', zipped(('a.xml', feedback())))), 'inside an archive'),
    'gzip in gzip': (gzip.compress(gzip.compress(feedback())), 'inside an archive'),
    'quine': (gzip.compress(gzip.compress(b'x') * 3), 'inside an archive'),
    'many files': (zipped(*[(f'{i}.xml', b'x') for i in range(1000)]), 'more files'),
    'cut gzip': (gzip.compress(feedback())[:-30], 'early'),
    'cut zip': (zipped(('a.xml', feedback()))[:-30], 'early'),
    'damaged zip': (zipped(('a.xml', b'y' * 100)).replace(b'PK\x01\x02', b'PK\x01\x03'), 'damaged'),
    'laughs': (LAUGHS, 'document type'),
    'outside': (b'<!DOCTYPE f [<!ENTITY x SYSTEM "file:///etc/passwd">]><feedback><version>&x;</version></feedback>', 'document type'),
    'deep': (b'<feedback>' + b'<a>' * 100000, 'deeper'),
    'many records': (b'<feedback>' + b'<record/>' * 60000 + b'</feedback>', 'more records'),
    'cut xml': (feedback()[:300], 'in the middle'),
    'no report': (b'<html><body/></html>', 'no <feedback>'),
    'other json': (b'{"a": [1, 2]}', 'no policies'),
    'deep json': (b'[' * 100 + b']' * 100, 'neither'),
    'wide json': (b'{"policies": [' + b'{},' * 300000 + b'{}]}', 'more values'),
    'empty': (b'', 'empty'),
}


@pytest.mark.parametrize('name', HOSTILE)
def test_hostile_files_are_refused_with_a_reason(name, tmp_path):
    data, reason = HOSTILE[name]
    file = tmp_path / 'file'
    file.write_bytes(data)
    began = time.monotonic()
    code = ('import resource, subprocess, sys; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30));'
            f'sys.exit(subprocess.run([{HATO!r}, "reports", "parse", "--json", {str(file)!r}]).returncode)')
    done = subprocess.run(['python3', '-c', code], capture_output=True, text=True, timeout=60) if SLOW == 1 else \
        subprocess.run([HATO, 'reports', 'parse', '--json', str(file)], capture_output=True, text=True)
    assert done.returncode == 65 and reason in done.stderr, done
    assert time.monotonic() - began < 5 * SLOW


# received

def test_what_comes_to_the_report_address_is_stored_and_shown(hosts, tmp_path):
    server = hosts('mail.home.test', accounts=[DMARC, TLS, 'ann@home.test'])
    rows = [('203.0.113.5', 90, 'pass', 'pass', 'none'), ('198.51.100.7', 8, 'fail', 'fail', 'none'), ('2001:db8::9', 2, 'fail', 'pass', 'none')]
    mail = attached(gzip.compress(feedback(rows=rows)))
    server.send('noreply@r.test', DMARC, mail)
    server.send('noreply@r.test', DMARC, mail)  # the same again: not counted twice
    server.send('noreply@r.test', TLS, attached(open(DATA + '/tlsrpt/parsedmarc/smtp_tls.json', 'rb').read(), 'r.json', 'tlsrpt+json'))
    server.send('noreply@r.test', 'ann@home.test', attached(gzip.compress(feedback('elsewhere.test'))))  # no report address
    got = wait_reports(server, lambda g: len(g) == 2 and pick(g, domain='home.test')['passed'] == 92, '--days', '2000')
    home, tls = pick(got, domain='home.test'), pick(got, domain='example.com')
    assert [d['domain'] for d in got] == ['example.com', 'home.test']
    assert (home['reports'], home['receivers'], home['failed'], home['policy']) == (1, 1, 8, 'p=none')
    worst = home['sources'][0]
    assert (worst['source'], worst['failed'], worst['dkim_aligned'], worst['disposition']['none']) == ('198.51.100.7', 8, 0, 8)
    assert any('198.51.100.7 sends as you without DKIM' in h['text'] and 'ip4:198.51.100.7' in h['text'] for h in home['hints'])
    assert any('2001:db8::9 sends as you without DKIM, and passes by SPF alone' in h['text'] for h in home['hints'])
    assert tls['tls_failed'] == 3 and tls['tls_failures'] == [{'type': 'validation-failure', 'host': 'example.com', 'info': None, 'count': 3}]
    with server.imap(DMARC, select='INBOX') as m:
        assert len(m.search(None, 'ALL')[1][0].split()) == 2  # it is mail as well
    words = server.hato('reports', 'home.test').stdout
    assert 'DMARC: 100 messages, 92 passed (92.0 %), 8 failed' in words and 'todo: 198.51.100.7' in words
    assert server.hato('reports', 'nobody.test').stdout == ''
    assert 'domains' not in server.hato('reports', 'home.test', '--html', str(tmp_path / 'p.html')).stdout
    page = (tmp_path / 'p.html').read_text()
    assert page.startswith('<!doctype html>') and '198.51.100.7' in page and '<script' not in page and 'src=' not in page
    assert not re.search(r'(href|url\(|https?://)', page)
    server.stop()
    assert pick(reports(server, '--days', '2000'), domain='home.test')['passed'] == 92  # also while the server is down
    server.start()


def test_new_senders_and_strange_words(hosts, tmp_path):
    server = hosts('mail.home.test', accounts=[DMARC])
    old = int(time.time()) // 86400 * 86400 - 100 * 86400
    evil = '<script>alert(1)</script>\x1b[31m"\'&'
    server.send('a@r.test', DMARC, attached(gzip.compress(feedback(begin=old, report_id='old'))))
    server.send('a@r.test', DMARC, attached(gzip.compress(feedback(report_id='new', rows=[
        ('203.0.113.5', 1, 'pass', 'pass', 'none'), ('203.0.113.77', 1, 'pass', 'fail', 'none')])), 'x.xml'))
    server.send('a@r.test', DMARC, attached(feedback(domain='home.test', report_id='evil', rows=[(evil.replace('<', '&lt;').replace('&', '&amp;', 0), 5, 'fail', 'fail', 'reject')]).replace(b'\x1b', b''), 'x.xml'))
    got = pick(wait_reports(server, lambda g: g[0]['reports'] == 2), domain='home.test')
    assert {s['source']: s['new'] for s in got['sources'] if s['source'].startswith('203')} == {'203.0.113.5': False, '203.0.113.77': True}
    server.hato('reports', '--html', str(tmp_path / 'p.html'))
    page = (tmp_path / 'p.html').read_text()
    assert '<script' not in page and '&lt;script&gt;' in page and '<span class=new>new</span>' in page
    assert '\x1b' not in server.hato('reports').stdout


def test_a_bomb_in_the_mail_is_delivered_and_does_not_go_off(hosts):
    server = hosts('mail.home.test', accounts=[DMARC])
    for name in ('bomb in zip', 'laughs', 'zip in zip', 'deep', 'bomb in gzip'):
        server.send('a@r.test', DMARC, attached(HOSTILE[name][0], 'r.xml.gz'))
    server.send('a@r.test', DMARC, attached(gzip.compress(feedback()), 'good.xml.gz'))
    wait_reports(server, lambda g: g[0]['passed'] == 3)
    log = server.log()
    for word in ('bomb', 'document type', 'inside an archive', 'deeper'):
        assert re.search(rf'hato/report\[\d+\]: .*not read: .*{word}', log), word
    with server.imap(DMARC, select='INBOX') as m:
        assert len(m.search(None, 'ALL')[1][0].split()) == 6


def test_reports_wait_for_relay_and_survive_a_crash(hosts):
    server = hosts('mail.home.test', accounts=[DMARC])
    server.send('a@r.test', DMARC, attached(gzip.compress(feedback())))
    server.kill()
    server.start()
    assert wait_reports(server, lambda g: g[0]['passed'] == 3)[0]['reports'] == 1


# sent

class World:
    """example.org wants reports at home, and elsewhere; example.com wants none."""
    def __init__(self):
        self.txt = {
            '_dmarc.example.org': 'v=DMARC1; p=reject; sp=quarantine; rua=mailto:dmarc-reports@example.org,mailto:big@example.org!300,'
                                  'mailto:them@granted.example.com!10m,mailto:victim@refused.example.com,https://example.org/',
            'example.org': 'v=spf1 ip4:203.0.113.5 -all',
            'example.org._report._dmarc.granted.example.com': 'v=DMARC1; rua=mailto:other@granted.example.com,mailto:second@granted.example.com',
            '_dmarc.example.com': 'v=DMARC1; p=none',
            '_dmarc.trial.example.org': 'v=DMARC1; p=reject; t=y; rua=mailto:dmarc-reports@example.org',
        }
        self.server = dnsd.Dnsd(self.records, ttl=0)

    def records(self, name, kind):
        text = name.to_text(omit_final_dot=True)
        if text == '5.113.0.203.in-addr.arpa':
            return [dns.rdata.from_text('IN', 'PTR', 'mail.example.org.')] if kind == dns.rdatatype.PTR else []
        if text == 'mail.example.org':
            return [dns.rdata.from_text('IN', 'A', '203.0.113.5')] if kind == dns.rdatatype.A else []
        if text in self.txt:
            said = self.txt[text]
            return [dnsd.txt(t) for t in (said if isinstance(said, list) else [said])] if kind == dns.rdatatype.TXT else []
        return [] if any(k.endswith('.' + text) for k in self.txt) else None


@pytest.fixture
def world():
    w = World()
    yield w
    w.server.stop()


def validate(xml, form):
    done = subprocess.run(['xmllint', '--noout', '--schema', f'{TOP}/tests/data/report-schema/aggregate-{form}.xsd', '-'], input=xml, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize('form', ['rfc9990', 'rfc7489'])
def test_one_sends_a_report_and_the_other_shows_it(hosts, world, form):
    owner = hosts('mail.example.org', accounts=['dmarc-reports@example.org', 'other@granted.example.com', 'second@granted.example.com', 'big@example.org', 'victim@refused.example.com'],
                  dns=world.server)
    receiver = hosts('mx.example.net', 'smtpd_authorized_xclient_hosts = 127.0.0.0/8\nsmtpd_peername_lookup = no\n'
                     f'relayhost = [127.0.0.1]:{owner.ports["smtp"]}\ndmarc_report_format = {form}\ndmarc_report_org = Net & Sons\n'
                     'smtp_tls_security_level = none', networks='127.0.0.2/32', dns=world.server, accounts=['ann@example.net'])
    receiver.wait_log(r'key made: .*_domainkey\.example\.net \(RSA')
    for i in range(3):
        assert offer(receiver, text('eve@example.org', f'good{i}'), 'eve@example.org', ip='203.0.113.5', to='ann@example.net')[0] == 250
    assert offer(receiver, text('eve@example.org', 'forged'), 'eve@evil.example.com', ip='198.51.100.66', to='ann@example.net')[0] == 550
    assert offer(receiver, text('eve@sub.example.org', 'sub'), '', ip='203.0.113.44', to='ann@example.net')[0] == 250
    circling = 'Received: from a by b; Mon, 23 Nov 2026 00:00:00 +0000\r\n' * 60 + text('eve@example.org', 'blocked')
    assert offer(receiver, circling, 'eve@example.org', ip='203.0.113.5', to='ann@example.net')[0] == 554  # counts: it was proved
    assert offer(receiver, text('eve@trial.example.org', 'trial'), '', ip='198.51.100.9', to='ann@example.net')[0] == 250
    assert offer(receiver, text('eve@example.org', 'private'), 'eve@example.org', ip='10.0.0.1', to='ann@example.net')[0] == 550
    assert offer(receiver, text('eve@example.com', 'nobody asks'), 'eve@example.com', ip='203.0.113.5', to='ann@example.net')[0] == 250
    dry = receiver.hato('reports', 'send', '--now', '--dry-run').stdout
    assert 'would send 3 rows' in dry and 'example.com:' not in re.sub(r'granted\.example\.com|refused\.example\.com', '', dry), dry
    assert 'nothing is to be reported' in receiver.hato('reports', 'send').stdout  # the day is not over
    told = receiver.hato('reports', 'send', '--now').stdout
    assert 'sent to dmarc-reports@example.org' in told and 'sent to other@granted.example.com' in told, told
    held = form == 'rfc7489'  # to the size that the address names: RFC 9989 ignores it
    assert ('big@example.org: the report is larger' in told) == held and ('rows sent to big@example.org' in told) != held, told
    assert 'nothing is sent to victim@refused.example.com' in told, told
    assert 'nothing is to be reported' in receiver.hato('reports', 'send', '--now').stdout  # not twice

    got = pick(wait_reports(owner, lambda g: {x['domain'] for x in g if x['reports']} >= {'example.org', 'trial.example.org'}), domain='example.org')
    assert (got['passed'], got['failed'], got['policy'].split()[0]) == (4, 2, 'p=reject')
    by_source = {s['source']: s for s in got['sources']}
    assert by_source['203.0.113.5']['spf_aligned'] == 4 and by_source['198.51.100.66']['disposition']['reject'] == 1
    assert by_source['203.0.113.44']['disposition']['quarantine'] == 1
    wait_until(lambda: 'mail.example.org' in owner.hato('reports').stdout, 20, 'the name of the address')

    trial = owner.wait_message('dmarc-reports@example.org', lambda m: 'Domain: trial.example.org' in ' '.join(m['Subject'].split()))
    words = gzip.decompress([p for p in trial.walk() if p.get_content_type() == 'application/gzip'][0].get_payload(decode=True)).decode()
    assert '<disposition>quarantine</disposition>' in words and ('<type>policy_test_mode</type>' in words) != held and ('<testing>y</testing>' in words) != held, words
    mail = owner.wait_message('dmarc-reports@example.org', lambda m: 'Domain: example.org' in ' '.join(m['Subject'].split()))
    assert re.fullmatch(r'Report Domain: example\.org Submitter: example\.net Report-ID: <[0-9.]+example\.org@example\.net>', ' '.join(mail['Subject'].split()))
    assert mail['From'] == 'Net & Sons <postmaster@example.net>' and mail['To'] in ('dmarc-reports@example.org', '<dmarc-reports@example.org>')
    assert 'd=example.net' in str(mail['DKIM-Signature'])
    part = [p for p in mail.walk() if p.get_content_type() == 'application/gzip'][0]
    assert re.fullmatch(r'example\.net!example\.org!\d+!\d+\.xml\.gz', part.get_filename())
    xml = gzip.decompress(part.get_payload(decode=True))
    validate(xml, form)
    assert b'<org_name>Net &amp; Sons</org_name>' in xml and (b'<disposition>pass</disposition>' in xml) != held
    for both in ('other@granted.example.com', 'second@granted.example.com'):
        assert owner.wait_message(both, lambda m: 'Report Domain' in m['Subject'])
    for nobody in ['big@example.org'] * held + ['victim@refused.example.com']:
        with owner.imap(nobody, select='INBOX') as m:
            assert m.search(None, 'ALL')[1][0] == b''


def test_failure_reports_are_short_and_few(hosts, world):
    world.txt['_dmarc.example.org'] += '; ruf=mailto:dmarc-ruf@example.org,mailto:victim@refused.example.com; fo=1:d'
    world.txt['evil.example.com'] = 'v=spf1 ip4:203.0.113.9 -all'
    owner = hosts('mail.example.org', accounts=['dmarc-ruf@example.org', 'dmarc-reports@example.org'], dns=world.server)
    main = ('smtpd_authorized_xclient_hosts = 127.0.0.0/8\nsmtpd_peername_lookup = no\nsmtp_tls_security_level = none\n'
            f'relayhost = [127.0.0.1]:{owner.ports["smtp"]}\ndmarc_failure_report_limit = 2\n')
    receiver = hosts('mx.example.net', main + 'dmarc_failure_reports = yes', networks='127.0.0.2/32', dns=world.server, accounts=['ann@example.net'])
    broken = ''.join(f'DKIM-Signature: v=1; a=rsa-sha256; d={d}; s=sel; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n'
                     for d in ('list.example.com', 'example.org'))
    for i in range(3):
        assert offer(receiver, broken + text('secret@example.org', f'private{i}'), 'private@evil.example.com', ip='198.51.100.66', to='ann@example.net')[0] == 550
    for ip in ('198.51.100.67', '198.51.100.68'):
        assert offer(receiver, text('secret@example.org', 'private'), 'private@evil.example.com', ip=ip, to='ann@example.net')[0] == 550
    receiver.hato('reports', 'send', '--now')
    got = pick(wait_reports(owner, lambda g: g and len(g[0]['complaints']) == 2), domain='example.org')
    assert sorted(c['source'] for c in got['complaints']) == ['198.51.100.66', '198.51.100.67']  # two an hour, the rest is not told
    assert {c['failure'] for c in got['complaints']} == {'dmarc'}
    mail = owner.wait_message('dmarc-ruf@example.org', '198.51.100.66')
    said = mail.as_string()
    assert 'Incidents: 3' in said and 'Identity-Alignment: dkim, spf' in said and 'Delivery-Result: reject' in said
    assert 'DKIM-Domain: example.org\n' in said.replace('\r', '') and 'DKIM-Selector: sel' in said  # that of the author, not the list's
    assert 'SPF-DNS: txt : evil.example.com : "v=spf1 ip4:203.0.113.9 -all"' in ' '.join(said.split())
    assert 'private' not in said.replace('What is private was left out', '') and 'secret' not in said and 'ann@' not in said
    assert 'to=<victim@refused' not in owner.log() + receiver.log()


def test_failure_reports_of_lenient_domains_can_be_left_out(hosts, world):
    """dmarc_failure_reports_on_none = no: only who refuses or puts aside hears of single mails (OpenDMARC's default)."""
    world.txt['_dmarc.example.org'] += '; ruf=mailto:dmarc-ruf@example.org'
    world.txt['_dmarc.mild.example.org'] = 'v=DMARC1; p=none; ruf=mailto:dmarc-ruf@example.org'
    owner = hosts('mail.example.org', accounts=['dmarc-ruf@example.org'], dns=world.server)
    receiver = hosts('mx.example.net', f'smtpd_authorized_xclient_hosts = 127.0.0.0/8\nsmtpd_peername_lookup = no\nsmtp_tls_security_level = none\n'
                     f'relayhost = [127.0.0.1]:{owner.ports["smtp"]}\ndmarc_failure_reports = yes\ndmarc_failure_reports_on_none = no\n',
                     networks='127.0.0.2/32', dns=world.server, accounts=['ann@example.net'])
    assert offer(receiver, text('a@mild.example.org', 'mild'), 'a@mild.example.org', ip='198.51.100.66', to='ann@example.net')[0] == 250
    assert offer(receiver, text('a@example.org', 'strict'), 'a@example.org', ip='198.51.100.67', to='ann@example.net')[0] == 550
    receiver.hato('reports', 'send', '--now')
    owner.wait_message('dmarc-ruf@example.org', '198.51.100.67')
    assert '198.51.100.66' not in ''.join(m.as_string() for m in owner.messages('dmarc-ruf@example.org'))


def test_failure_reports_survive_a_restart(hosts, world):
    world.txt['_dmarc.example.org'] = 'v=DMARC1; p=reject; ruf=mailto:dmarc-ruf@example.org; fo=1'
    owner = hosts('mail.example.org', accounts=['dmarc-ruf@example.org', 'copy@example.org'], dns=world.server)
    receiver = hosts('mx.example.net', 'smtpd_authorized_xclient_hosts = 127.0.0.0/8\nsmtpd_peername_lookup = no\nsmtp_tls_security_level = none\n'
                     f'relayhost = [127.0.0.1]:{owner.ports["smtp"]}\ndmarc_failure_reports = yes\ndmarc_failure_report_bcc = copy@example.org\n',
                     networks='127.0.0.2/32', dns=world.server, accounts=['ann@example.net'])
    assert offer(receiver, text('secret@example.org', 'private'), 'private@evil.example.com', ip='198.51.100.66', to='ann@example.net')[0] == 550
    receiver.stop()
    receiver.start()
    receiver.hato('reports', 'send', '--now')
    for who in ('dmarc-ruf@example.org', 'copy@example.org'):
        owner.wait_message(who, '198.51.100.66')
    receiver.stop()
    receiver.start()
    receiver.hato('reports', 'send', '--now')
    time.sleep(1)
    assert len(owner.messages('dmarc-ruf@example.org')) == 1  # not again


def failing(domain, selector='s', more='r=y', author='secret@example.org', extra='', **kw):
    """A signature of that domain over another body."""
    return (f'DKIM-Signature: v=1; a=rsa-sha256; d={domain}; s={selector}; i=private@sub.{domain}; {more}; h=from;\r\n'
            f' bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n{extra}' + text(author, 'private', **kw))


@pytest.mark.parametrize('action', ['accept', 'reject'])
def test_signers_hear_of_what_fails(hosts, world, folder, action):
    """RFC 6651, as OpenDKIM's SendReports: once for what is alike, to whom the signer names, and never about a report."""
    world.txt.update({'_report._domainkey.example.org': 'ra=dmarc-ruf; rr=v:s; rs=see=20example.org=3B sorry',
                      '_report._domainkey.late.example.org': 'ra=dmarc-ruf; rr=x',
                      '_report._domainkey.never.example.org': 'ra=dmarc-ruf; rp=0',
                      '_report._domainkey.two.example.org': ['ra=dmarc-ruf; rs=first', 'ra=dmarc-ruf; rs=second'],
                      '_report._domainkey.words.example.org': 'rs=words=20alone; rr=x; rp=0',
                      '_dmarc.example.org': 'v=DMARC1; p=none'})
    with open(f'{folder}/opendkim.conf', 'w') as f:
        f.write(f'Mode sv\nSendReports yes\nReportAddress "Our reports" <tell@example.net>\nReportBccAddress copy@example.org\nOn-BadSignature {action}\n'
                'On-KeyNotFound accept\n')
    owner = hosts('mail.example.org', accounts=[*(f'dmarc-ruf@{d}example.org' for d in ('', 'late.', 'never.', 'two.')), 'copy@example.org'],
                  dns=world.server)
    receiver = hosts('mx.example.net', 'smtpd_authorized_xclient_hosts = 127.0.0.0/8\nsmtpd_peername_lookup = no\nsmtp_tls_security_level = none\n'
                     f'relayhost = [127.0.0.1]:{owner.ports["smtp"]}\nopendkim_config = {folder}/opendkim.conf\ndmarc_failure_report_limit = 2\n'
                     'dkim_request_reports = yes\n', networks='127.0.0.2/32', dns=world.server, accounts=['ann@example.net'])
    receiver.wait_log(r'key made: .*_domainkey\.example\.net \(RSA')
    assert 'SendReports' not in receiver.hato('check', check=False).stderr
    code = 250 if action == 'accept' else 550

    def bring(mail, sender='eve@evil.example.com', ip='198.51.100.66'):
        got, said = offer(receiver, mail, sender, ip=ip, to='ann@example.net')
        assert got == code, said
        return said
    said = [bring(failing('example.org')) for _ in range(3)]
    assert ('example.org says: see example.org;sorry' in said[0]) == (action == 'reject'), said[0]
    for ip in ('198.51.100.67', '198.51.100.68'):  # the second is one too many in an hour
        bring(failing('example.org'), ip=ip)
    bring(failing('example.org', 'own'), '', ip='198.51.100.1')
    bring(failing('example.org', 'auto', extra='Auto-Submitted: auto-replied\r\n'), ip='198.51.100.2')
    bring(failing('example.org', 'arf', more='r=y', extra='Content-Type: multipart/report; boundary=b\r\n'), ip='198.51.100.3')
    bring(failing('example.org', 'quiet', more='r=n'), ip='198.51.100.4')
    bring(failing('late.example.org'), ip='198.51.100.5')
    bring(failing('never.example.org'), ip='198.51.100.6')
    bring(failing('silent.example.org'), ip='198.51.100.7')
    assert 'says' not in bring(failing('two.example.org'), ip='198.51.100.8')  # two records: none (§3.3, step 3)
    said = bring(failing('words.example.org'), ip='198.51.100.9')  # without ra= only the words count
    assert ('words.example.org says: words alone' in said) == (action == 'reject'), said
    bring(failing('example.org', 'inside'), ip='10.1.2.3')
    receiver.hato('reports', 'send', '--now')
    got = pick(wait_reports(owner, lambda g: g and len(g[0]['complaints']) == 2), domain='example.org')
    assert sorted(c['source'] for c in got['complaints']) == ['198.51.100.66', '198.51.100.67']
    assert {c['failure'] for c in got['complaints']} == {'bodyhash'}
    mail = owner.wait_message('dmarc-ruf@example.org', '198.51.100.66')
    said = mail.as_string().replace('\r', '')
    assert mail['Return-Path'] == '<>' and 'tell@example.net' in mail['From'] and 'd=example.net' in mail['DKIM-Signature'] and 'r=y' not in mail['DKIM-Signature']
    for field in ('Feedback-Type: auth-failure', 'Auth-Failure: bodyhash', 'Incidents: 3', 'DKIM-Domain: example.org', 'DKIM-Identity: @sub.example.org', 'DKIM-Selector: s',
                  'Source-IP: 198.51.100.66', 'Reported-Domain: example.org', f'Delivery-Result: {"reject" if action == "reject" else "delivered"}'):
        assert field + '\n' in said, (field, said)
    assert 'dkim=fail reason="the body was changed after signing" header.d=example.org' in ' '.join(said.split())
    assert 'private' not in said.replace('What is private was left out', '') and 'secret' not in said and 'ann@' not in said
    wait_until(lambda: len(owner.messages('copy@example.org')) == 2, 20, 'copies')
    assert all(owner.messages(f'dmarc-ruf@{d}example.org') == [] for d in ('late.', 'never.', 'two.'))


def test_addresses_that_our_own_records_name(hosts, dns):
    """Whatever the address is called; and whose report is no proof of who sent it is marked."""
    names = dns('_dmarc.home.test TXT "v=DMARC1; p=none; rua=mailto:odd+name@home.test,https://x.test/; ruf=mailto:other@home.test"\n'
                '_smtp._tls.home.test TXT "v=TLSRPTv1; rua=mailto:tls-odd@home.test"\nr.test TXT "v=spf1 ip4:127.0.0.9 -all"\n')
    accounts = ['odd+name@home.test', 'other@home.test', 'tls-odd@home.test', 'ann@home.test']
    server = hosts('mail.home.test', 'recipient_delimiter =\n', accounts=accounts, dns=names, networks='127.0.0.2/32')

    def send(to, data, sender, source):
        with server.dialogue(source=source) as talk:
            talk.ehlo()
            talk.envelope(sender, to)
            talk.say('DATA', 354)
            talk.say(data + '\r\n.', 250)
    n = 0

    def until_read():
        nonlocal n
        n += 1
        send('odd+name@home.test', attached(feedback(report_id=str(n)), 'r.xml', 'xml'), 'bounce@r.test', '127.0.0.9')
        return wait_until(lambda: True, 1) and reports(server)
    got = wait_until(until_read, 30, 'a report', every=1)
    assert got[0]['unproved'] == 0
    before = got[0]['reports']
    send('other@home.test', attached(feedback(report_id='forged'), 'r.xml', 'xml'), 'bounce@r.test', '127.0.0.66')
    got = wait_reports(server, lambda g: g[0]['unproved'] == 1)
    assert any('anybody may have made them up' in h['text'] for h in got[0]['hints'])
    assert '(1 unproved)' in server.hato('reports').stdout
    send('tls-odd@home.test', attached(open(DATA + '/tlsrpt/parsedmarc/smtp_tls.json', 'rb').read(), 'r.json', 'tlsrpt+json'), 'bounce@r.test', '127.0.0.9')
    wait_reports(server, lambda g: len(g) == 2, '--days', '2000')
    send('ann@home.test', attached(feedback('elsewhere.test'), 'r.xml', 'xml'), 'bounce@r.test', '127.0.0.9')
    assert len(reports(server, '--days', '2000')) == 2


def test_a_crash_neither_loses_nor_repeats_a_report(hosts, world):
    owner = hosts('mail.example.org', accounts=['dmarc-reports@example.org', 'other@granted.example.com'], dns=world.server)
    receiver = hosts('mx.example.net', 'smtpd_authorized_xclient_hosts = 127.0.0.0/8\nsmtpd_peername_lookup = no\nsmtp_tls_security_level = none\n'
                     f'relayhost = [127.0.0.1]:{owner.ports["smtp"]}', networks='127.0.0.2/32', dns=world.server, accounts=['ann@example.net'])
    assert offer(receiver, text('eve@example.org', 'good'), 'eve@example.org', ip='203.0.113.5', to='ann@example.net')[0] == 250
    owner.stop()
    receiver.kill()      # what was accepted is still to be reported
    receiver.start()
    assert 'sent to dmarc-reports@example.org' in receiver.hato('reports', 'send', '--now').stdout
    receiver.kill()      # what was handed in is still to be delivered, and no more
    receiver.start()
    assert 'nothing is to be reported' in receiver.hato('reports', 'send', '--now').stdout
    owner.start()
    receiver.hato('queue', 'flush')
    assert wait_reports(owner, lambda g: g[0]['passed'] == 1)[0]['reports'] == 1
    wait_until(lambda: receiver.hato('queue', 'list', '--json').stdout.split() == ['[', ']'] or not json.loads(receiver.hato('queue', 'list', '--json').stdout),
               20, 'the queue to be empty')
    with owner.imap('dmarc-reports@example.org', select='INBOX') as m:
        assert len(m.search(None, 'ALL')[1][0].split()) == 1


def test_names_for_tests_send_nothing(hosts, world):
    server = hosts('mx.home.test', 'smtpd_authorized_xclient_hosts = 127.0.0.0/8', networks='127.0.0.2/32', dns=world.server, accounts=['ann@home.test'])
    assert offer(server, text('eve@example.org', 'good'), 'eve@example.org', ip='203.0.113.5', to='ann@home.test', name='mail.example.org')[0] == 250
    done = server.hato('reports', 'send', '--now', check=False)
    assert done.returncode == 69 and 'home.test is no name others could answer to' in done.stderr


# the page

@pytest.mark.skipif(not shutil.which('chromium'), reason='no Chromium')
def test_the_page_is_drawn_by_a_browser(hosts, tmp_path):
    server = hosts('mail.home.test', accounts=[DMARC, TLS])
    today = int(time.time()) // 86400 * 86400
    for i in range(20):
        rows = [('203.0.113.5', 60 + i * 3 % 17, 'pass', 'pass', 'none'), ('198.51.100.7', i % 5, 'fail', 'fail', 'none'), ('203.0.113.9', 12, 'pass', 'fail', 'none')]
        server.send('a@r.test', DMARC, attached(gzip.compress(feedback(rows=[r for r in rows if r[1]], report_id=str(i), begin=today - (i + 1) * 86400))))
    wait_reports(server, lambda g: g[0]['reports'] == 20)
    server.hato('reports', '--html', str(tmp_path / 'page.html'))
    chromium = ['chromium', '--headless=new', '--no-sandbox', '--disable-gpu', f'--user-data-dir={tmp_path}/profile', '--window-size=1100,1500']
    done = subprocess.run([*chromium, f'--screenshot={tmp_path}/page.png', f'file://{tmp_path}/page.html'], capture_output=True, timeout=120)
    picture = (tmp_path / 'page.png').read_bytes() if (tmp_path / 'page.png').exists() else b''
    assert picture.startswith(b'\x89PNG') and len(picture) > 20000, done.stderr[-500:]
    dom = subprocess.run([*chromium, '--dump-dom', f'file://{tmp_path}/page.html'], capture_output=True, text=True, timeout=120).stdout
    assert dom.count('<rect class="g"') == 20 and 'What to do' in dom and '198.51.100.7' in dom
