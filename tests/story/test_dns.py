# SPDX-License-Identifier: Apache-2.0
"""`hato dns`: the records to publish for our domains, beside those that nsd has; read back by a stranger's zone parser."""
import json, re, time
import pytest
from around import *
import dnsd
from nsd import Nsd

dns = pytest.importorskip('dns')
import dns.zone

MAIN = 'inet_interfaces = loopback-only\nproxy_interfaces = 203.0.113.7, 2001:db8::7\ninet_protocols = all\n'
SERVICES = {'smtp': 'smtpd', 'submissions': 'smtpd -o smtpd_tls_wrappermode=yes -o smtpd_sasl_auth_enable=yes', 'imaps': 'imapd -o imapd_tls_wrappermode=yes'}


@pytest.fixture
def names(folder):
    made = []

    def make(records='', **more):
        made.append(Nsd(f'{folder}/nsd{len(made)}', records, **more).start())
        return made[-1]
    yield make
    for n in made:
        n.stop()


def look(server, *words, code=0):
    done = server.hato('dns', *words, '--json', check=False)
    assert done.returncode == code, done.stderr + done.stdout
    out = json.loads(done.stdout)
    return out, {(r['name'], r['type'], r['value'].split(' ')[0] if r['type'] == 'TXT' and r['value'] else ''): r for r in out['records']}


def row(server, name, kind, start='', domain=None, code=0):
    out, _ = look(server, *([domain] if domain else []), code=code)
    found = [r for r in out['records'] if r['name'] == name and r['type'] == kind and (r['value'] or '').startswith(start)]
    assert len(found) == 1, out['records']
    return found[0]


def test_what_is_printed_can_be_published_and_is_right_then(hosts, names):
    """The zone that --zone prints, given to nsd as it is, makes --check content; the zone parser of dnspython reads it, too."""
    zone = names()
    server = hosts('mail.own.test', MAIN, dns=zone, accounts=['ann@own.test', 'bob@other.test'], services=SERVICES, start=False)
    server.hato('alias', 'add', 'dmarc@own.test', 'ann@own.test')
    for domain in ('own.test', 'other.test'):
        server.hato('dkim', 'add', domain)
    done = server.hato('dns', '--check', check=False)
    assert done.returncode == 65 and 'missing' in done.stdout and 'right' not in done.stdout
    out, _ = look(server)
    assert out['host'] == 'mail.own.test' and out['addresses'] == ['203.0.113.7', '2001:db8::7']
    values = {(r['name'], r['type']): r['value'] for r in out['records']}
    assert values['mail.own.test', 'A'] == '203.0.113.7' and values['mail.own.test', 'AAAA'] == '2001:db8::7'
    assert values['7.113.0.203.in-addr.arpa', 'PTR'] == 'mail.own.test'
    assert values['own.test', 'MX'] == '10 mail.own.test'
    assert values['own.test', 'TXT'] == 'v=spf1 ip4:203.0.113.7 ip6:2001:db8::7 mx -all'
    assert values['mail.own.test', 'TXT'] == 'v=spf1 a -all'
    assert values['_dmarc.own.test', 'TXT'] == 'v=DMARC1; p=none; rua=mailto:dmarc@own.test'
    assert values['_dmarc.other.test', 'TXT'] == 'v=DMARC1; p=none'
    for k in json.loads(server.hato('dkim', 'show', '--json').stdout):
        assert values[k['name'], 'TXT'] == k['value']
    text = server.hato('dns', '--zone').stdout
    lines = [l.replace('; in the zone of the address: ', '') for l in text.splitlines() if not l.startswith('; ') or 'IN\tPTR' in l]
    parsed = dns.zone.from_text('$ORIGIN .\n$TTL 1\n. SOA a. b. 1 1 1 1 1\n. NS a.\n' + '\n'.join(lines), '.', relativize=False)
    assert len(list(parsed.iterate_rdatas())) == len(out['records']) + 2
    zone.change('\n'.join(lines) + '\n')
    time.sleep(1.1)
    done = server.hato('dns', '--check', check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not re.search('missing|differs|unknown', done.stdout) and done.stdout.count('right') == len(out['records'])
    assert server.hato('dns', 'own.test', '--check').stdout.count('right') < len(out['records'])


SPF = [  # published, what it should be, what is said
    ('"v=spf1 ip4:203.0.113.0/24 ip6:2001:db8::/32 -all"', None, '0 of 10 look-ups'),
    ('"v=spf1 mx ~all"', None, '1 of 10 look-ups'),
    ('"v=spf1 include:_spf.far.test ~all"', 'v=spf1 ip4:203.0.113.7 ip6:2001:db8::7 include:_spf.far.test ~all', 'does not let 203.0.113.7, 2001:db8::7 send'),
    ('"v=spf1 ip4:203.0.113.7 redirect=_spf.far.test"', 'v=spf1 ip6:2001:db8::7 ip4:203.0.113.7 redirect=_spf.far.test', 'does not let 2001:db8::7 send'),
    ('"v=spf1 mx -all"|"v=spf1 include:_spf.far.test ~all"', 'v=spf1 ip4:203.0.113.7 ip6:2001:db8::7 include:_spf.far.test mx ~all', '2 SPF records'),
    ('"v=spf1 mx +all"', 'v=spf1 mx ~all', 'lets everybody'),
    ('"v=spf1 mx ' + ' '.join(f'a:a{i}.far.test' for i in range(10)) + ' -all"', False, 'more than 10 look-ups'),
    ('"v=spf1 mx a:none1.far.test a:none2.far.test a:none3.far.test -all"', False, 'found nothing'),
    ('"v=spf1 mx ipv4:1.2.3.4 -all"', 'v=spf1 ip4:203.0.113.7 ip6:2001:db8::7 mx -all', 'is no SPF term'),
    ('"verification=1"', 'v=spf1 ip4:203.0.113.7 ip6:2001:db8::7 mx -all', 'no SPF record'),
]


@pytest.mark.parametrize('published,value,said', SPF, ids=range(len(SPF)))
def test_spf_is_joined_with_what_is_published(hosts, names, published, value, said):
    records = ''.join(f'own.test TXT {p}\n' for p in published.split('|')) + '_spf.far.test TXT "v=spf1 ip4:198.51.100.0/24 -all"\n'
    records += 'own.test MX 10 mail.own.test.\nmail.own.test A 203.0.113.7\nmail.own.test AAAA 2001:db8::7\n'
    records += ''.join(f'a{i}.far.test A 198.51.100.{i}\n' for i in range(10))
    server = hosts('mail.own.test', MAIN, dns=names(records), accounts=['ann@own.test'], start=False)
    r = row(server, 'own.test', 'TXT')
    assert said in r['reason'], r
    assert r['state'] == ('right' if value is None else 'missing' if 'verification' in published else 'differs')
    if value:
        assert r['value'] == value
    if value is False:  # the terms are somebody's: which of them can go nobody knows here
        assert r['value'] is None and r['found'] == published.strip('"')


def test_what_is_wrong_is_said(hosts, names):
    zone = names('own.test MX 10 old.far.test.\nmail.own.test A 198.51.100.1\n7.113.0.203.in-addr.arpa PTR vps7.far.test.\n'
                 '_dmarc.own.test TXT "v=DMARC1; p=reject"\n_dmarc.own.test TXT "v=DMARC1; p=none"\nnull.test MX 0 .\n'
                 '_dmarc.null.test TXT "v=DMARC1; p=quarantine"\nown.test TXT "v=spf1 \\"x\\027[31m -all"\n')
    server = hosts('mail.own.test', MAIN, dns=zone, accounts=['ann@own.test', 'ann@null.test', 'ann@sub.own.test'], start=False)
    mx = row(server, 'own.test', 'MX')
    assert (mx['state'], mx['found'], mx['value']) == ('differs', '10 old.far.test', '10 mail.own.test')
    assert 'takes no mail' in row(server, 'null.test', 'MX')['reason']
    assert row(server, 'mail.own.test', 'A')['found'] == '198.51.100.1'
    assert row(server, 'mail.own.test', 'AAAA')['state'] == 'missing'
    ptr = row(server, '7.113.0.203.in-addr.arpa', 'PTR')
    assert (ptr['state'], ptr['found']) == ('differs', 'vps7.far.test') and 'whoever gave you 203.0.113.7' in ptr['reason']
    assert 'more than one DMARC record' in row(server, '_dmarc.own.test', 'TXT')['reason']
    dmarc = row(server, '_dmarc.null.test', 'TXT')
    assert dmarc['state'] == 'right' and dmarc['value'] == 'v=DMARC1; p=quarantine' and 'nobody reports' in dmarc['reason']
    assert '_dmarc.sub.own.test' not in server.hato('dns').stdout  # the policy of the domain above counts
    assert '\x1b' not in server.hato('dns').stdout + server.hato('dns', '--json').stdout
    assert server.hato('dns', 'null.test', '--check', check=False).returncode == 65


def test_relayhost_and_domains_that_are_only_signed(hosts, names):
    """A relay that signs: no MX; behind a relayhost it is that one that others see."""
    zone = names('sent.test TXT "v=spf1 include:_spf.google.com ~all"\n_spf.google.com TXT "v=spf1 ip4:198.51.100.0/24 ~all"\n'
                 'fresh.test TXT "x"\nout.far.test A 198.51.100.9\n')
    server = hosts('mail.own.test', MAIN + 'mydestination =\n', dns=zone, start=False)
    server.hato('dkim', 'add', 'sent.test')
    text = server.hato('dns').stdout
    assert 'its mail is signed here, and not received' in text and not re.search(r'\sMX\s', text)
    assert row(server, 'sent.test', 'TXT', 'v=spf1')['value'] == 'v=spf1 ip4:203.0.113.7 ip6:2001:db8::7 include:_spf.google.com ~all'
    assert row(server, 'fresh.test', 'TXT', 'v=spf1', 'fresh.test')['value'] == 'v=spf1 ip4:203.0.113.7 ip6:2001:db8::7 ~all'
    server.configure(MAIN + 'mydestination =\nrelayhost = [smtp-relay.gmail.com]:587\n')
    assert row(server, 'sent.test', 'TXT', 'v=spf1')['state'] == 'right'
    assert row(server, 'fresh.test', 'TXT', 'v=spf1', 'fresh.test')['value'] == 'v=spf1 include:_spf.google.com ~all'
    server.configure(MAIN + 'mydestination =\nrelayhost = [out.far.test]:587\n')
    r = row(server, 'sent.test', 'TXT', 'v=spf1')
    assert r['state'] == 'right', r  # its address passes by what is included
    assert row(server, 'fresh.test', 'TXT', 'v=spf1', 'fresh.test')['value'] == 'v=spf1 a:out.far.test ~all'
    server.configure(MAIN + 'smtp_bind_address = 203.0.113.8\nmydestination =\n')
    assert row(server, 'fresh.test', 'TXT', 'v=spf1', 'fresh.test')['value'] == 'v=spf1 ip4:203.0.113.8 ip6:2001:db8::7 ~all'


def test_an_address_that_only_dns_knows(hosts, names):
    """Behind address translation without proxy_interfaces: the host's own record is believed, or it is said what to set."""
    zone = names('mail.own.test A 203.0.113.50\n')
    server = hosts('mail.own.test', 'inet_interfaces = loopback-only\n', dns=zone, accounts=['ann@own.test'], start=False)
    assert row(server, 'own.test', 'TXT', 'v=spf1')['value'] == 'v=spf1 ip4:203.0.113.50 mx -all'
    zone.change('')
    time.sleep(1.1)
    done = server.hato('dns', '--check', check=False)
    assert done.returncode == 65 and 'set proxy_interfaces' in done.stdout


def test_dns_that_is_silent_is_said_and_does_not_hang(hosts):
    names = dnsd.Dnsd(lambda name, kind: dnsd.TIMEOUT)
    try:
        server = hosts('mail.own.test', MAIN, dns=names, accounts=[f'ann@own{i}.test' for i in range(30)], start=False)
        begun = time.monotonic()
        done = server.hato('dns', '--check', check=False)
        assert time.monotonic() - begun < 15 * SLOW
        assert done.returncode == 75 and 'DNS does not answer' in done.stderr and done.stdout.count('unknown') > 60
        zone = server.hato('dns', 'own1.test', '--zone', check=False)
        assert zone.returncode == 75 and 'v=spf1 ' not in zone.stdout and '; own1.test. IN TXT: ' in zone.stdout
    finally:
        names.stop()


def test_a_running_server_and_its_words(hosts, names):
    server = hosts('mail.own.test', MAIN + 'virtual_mailbox_domains = more.test, static:none\n', dns=names(), accounts=['ann@own.test'])
    wait_until(lambda: len(json.loads(server.hato('dkim', 'show', 'own.test', '--json', check=False).stdout or '[]')) == 2, 30, 'keys')
    done = server.hato('dns')
    assert 'own.test: mail for it is received here' in done.stdout and 'more.test: mail' in done.stdout
    assert re.search(r'missing +hato1r\._domainkey\.own\.test +TXT +v=DKIM1', done.stdout)
    assert 'hato1r._domainkey.own.test.\tIN\tTXT\t"v=DKIM1' in done.stdout
    assert 'virtual_mailbox_domains: static:none: a table of type static cannot be listed: its domains are not looked at' in done.stderr
    assert server.hato('dns', '--nonsense', check=False).returncode == 64
    assert server.hato('dns', 'no domain', check=False).returncode == 65
    assert 'hato dns' in server.hato('help', 'dns').stdout or 'dns [DOMAIN]' in server.hato('help', 'dns').stdout


def test_domains_in_tables(hosts, names, folder):
    """Tables that can be listed are; of the others, and of other relays, it is said that nobody looked."""
    with open(f'{folder}/domains', 'w') as f:
        f.write('# ours\nlisted.test x\n.below.listed.test x\n')
    with open(f'{folder}/words', 'w') as f:
        f.write('infile.test\n')
    server = hosts('mail.own.test', MAIN + f'virtual_mailbox_domains = texthash:{folder}/domains, inline:{{inline.test=x, other.test=y}}, {folder}/words, '
                   f'regexp:{folder}/none\nvirtual_alias_domains = hash:{folder}/absent\nrelay_domains = hash:{folder}/domains\n'
                   f'sender_dependent_relayhost_maps = hash:{folder}/relays\n', dns=names(), start=False)
    done = server.hato('dns', '--check', check=False)
    for domain in ('listed.test', 'inline.test', 'other.test', 'infile.test'):
        assert f'{domain}: mail for it is received here' in done.stdout, done.stdout
    assert 'below.listed.test' not in done.stdout
    assert f'virtual_mailbox_domains: regexp:{folder}/none: a table of type regexp cannot be listed: its domains are not looked at' in done.stderr, done.stderr
    assert re.search(rf'virtual_alias_domains: .*{folder}/absent.*: its domains are not looked at', done.stderr), done.stderr
    assert f'relay_domains = hash:{folder}/domains: not looked at' in done.stderr
    assert f'sender_dependent_relayhost_maps = hash:{folder}/relays: senders named there go by another relay' in done.stderr
    assert 'hato dns --check' in server.hato('check').stdout  # which asks nobody
