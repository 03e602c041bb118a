# SPDX-License-Identifier: Apache-2.0
"""SPF: the suite of RFC 7208 (tests/data/spf) through the real DNS code, hostile records, and python3-spf beside us."""
import concurrent.futures, json, os, socket, subprocess, time
import dns.name, dns.rdata, dns.rdataclass, dns.rdatatype, dns.reversename
import pytest, yaml
import around, dnsd, hato

DATA = os.path.join(os.path.dirname(__file__), '..', 'data', 'spf', 'rfc7208-tests.yml')
IN = dns.rdataclass.IN


class Zone:
    """Zone data as the suite writes it: {name: [{type: value} or TIMEOUT]}. SPF stands for SPF and, where the name has no TXT,
    for TXT; TXT: NONE switches that off."""
    def __init__(self, data):
        self.names, self.silent = {}, {}
        for text, entries in data.items():
            name = dnsd.name_of(text)
            if name is None:
                continue
            own_txt = any(isinstance(e, dict) and 'TXT' in e for e in entries)
            records = self.names.setdefault(name, {})
            for e in entries:
                if e == 'TIMEOUT':
                    self.silent[name] = True
                    continue
                (kind, value), = e.items()
                if kind == 'SPF' and not own_txt:
                    kind = 'TXT'
                if kind == 'SPF' or value == 'NONE':
                    continue
                records.setdefault(dns.rdatatype.from_text(kind), []).append(self.rdata(kind, value))
        for name in list(self.names):  # names between
            while len(name) > 1:
                name = name.parent()
                self.names.setdefault(name, {})

    @staticmethod
    def rdata(kind, value):
        if kind == 'TXT':
            value = value if isinstance(value, list) else [value]
            return dnsd.txt(*(v.encode('latin-1') for v in value))
        if kind == 'CNAME':
            return dnsd.name_of(value)
        if kind == 'MX':
            return dns.rdata.from_text(IN, 'MX', f'{value[0]} {dnsd.name_of(value[1]).to_text() if value[1] else "."}')
        if kind == 'PTR':
            return dns.rdata.from_text(IN, 'PTR', dnsd.name_of(value).to_text())
        return dns.rdata.from_text(IN, kind, value)

    def __call__(self, name, kind):
        records = self.names.get(name)
        if records is None:
            return None
        if kind in records:
            return records[kind]
        if dns.rdatatype.CNAME in records:
            return records[dns.rdatatype.CNAME]
        return dnsd.TIMEOUT if name in self.silent else []


def configure(folder, port):
    os.makedirs(folder, exist_ok=True)
    with open(f'{folder}/main.cf', 'w') as f:
        f.write(f'myhostname = receiver.example.test\ndata_directory = {folder}/data\ndns_resolvers = 127.0.0.1:{port}\n')
    open(f'{folder}/master.cf', 'w').close()
    return folder


def ask(folder, client, helo, sender, timeout=2000):
    # what follows is never taken for an option: no address begins with two hyphens
    done = subprocess.run([around.HATO, '-c', folder, 'check', 'spf', '--json', '--timeout', str(int(timeout * around.SLOW)), client, helo, sender],
                          capture_output=True, timeout=60 * around.SLOW)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_suite(folder, counted):
    """All 203 cases. Where the suite allows several results, any of them."""
    with open(DATA, encoding='utf-8') as f:
        scenarios = list(yaml.safe_load_all(f))
    servers, jobs, wrong = [], [], []
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for n, s in enumerate(scenarios):
            servers.append(dnsd.Dnsd(Zone(s['zonedata'])))
            place = configure(f'{folder}/{n}', servers[-1].port)
            for name, case in s['tests'].items():
                jobs.append((s, name, case, pool.submit(ask, place, case['host'], case['helo'], case['mailfrom'], 1200)))
        for s, name, case, job in jobs:
            got, want = job.result(), case['result']
            ok = got['result'] in (want if isinstance(want, list) else [want])
            if 'explanation' in case and ok:
                said = '' if case['explanation'] == 'DEFAULT' else case['explanation']
                ok = (got['explanation'] or '').lower() == said.lower()
            if not ok:
                wrong.append(f'{s["description"]}/{name}: want {want} {case.get("explanation", "")!r}, got {got}')
    for server in servers:
        server.stop()
    counted('SPF, RFC 7208', len(jobs) - len(wrong), len(jobs))
    assert not wrong, '\n'.join(wrong)
    assert len(jobs) == 203


# --- beside python3-spf

CLIENTS = ['192.0.2.10', '192.0.2.77', '198.51.100.7', '203.0.113.200', '2001:db8::10', '2001:db8:1::25']


def generated(count=200):
    """Zone data and questions, the same in every run."""
    import random
    r = random.Random(7208)
    zone = {'gen.test': [{'A': '192.0.2.10'}]}
    for i, c in enumerate(CLIENTS):
        kind = 'AAAA' if ':' in c else 'A'
        zone[f'mail{i}.gen.test'] = [{kind: c}, {'MX': [10, f'mail{i}.gen.test']}]
        arpa = dns.reversename.from_address(c).to_text()
        if i % 3 != 2:
            zone[arpa] = [{'PTR': f'mail{i}.gen.test'}, {'PTR': 'liar.gen.test'}]
    zone['both.gen.test'] = [{'A': CLIENTS[0]}, {'AAAA': CLIENTS[4]}, {'MX': [0, 'mail1.gen.test']}, {'MX': [5, 'mail5.gen.test']}]
    zone['liar.gen.test'] = [{'A': '203.0.113.1'}]
    zone['many.gen.test'] = [{'MX': [n, f'mail{n % 6}.gen.test']} for n in range(11)]
    zone['alias.gen.test'] = [{'CNAME': 'both.gen.test'}]
    zone['10.2.0.192.list.gen.test'] = zone['user.list.gen.test'] = zone['bar.foo.list.gen.test'] = [{'A': '127.0.0.2'}]
    hosts = [f'mail{i}.gen.test' for i in range(6)] + ['both.gen.test', 'alias.gen.test', 'nothing.gen.test', '%{h}', 'mail0.%{d2}', 'both.%{o2}']

    def term():
        q = r.choice(['', '', '', '', '-', '~', '?', '+'])
        cidr = r.choice(['', '', '', '/24', '//64', '/24//48', '/0', '/32//128'])
        return q + r.choice([
            f'ip4:{r.choice(CLIENTS[:4])}{r.choice(["", "/24", "/25", "/8", "/0"])}', f'ip6:{r.choice(CLIENTS[4:])}{r.choice(["", "/64", "/32"])}',
            f'a:{r.choice(hosts)}{cidr}', f'mx:{r.choice(hosts + ["many.gen.test"])}{cidr}', 'a' + cidr, 'mx' + cidr, 'ptr', 'ptr:gen.test',
            f'include:d{r.randrange(count)}.gen.test', f'exists:%{{{r.choice(["ir", "l", "lr-", "i", "d1", "l1r"])}}}.list.gen.test', 'exists:%{p}',
            f'include:_inc{r.randrange(10)}.gen.test'])

    def record():
        terms = [term() for _ in range(r.randrange(1, 7))]
        end = r.choice(['-all', '-all', '~all', '?all', '', f'redirect=d{r.randrange(count)}.gen.test', 'redirect=_inc1.gen.test'])
        if r.random() < 0.06:  # something broken
            terms.insert(r.randrange(len(terms) + 1), r.choice(['ip4:1.2.3', 'a:x', 'foo', 'include', 'a:%{x}.gen.test', 'mx/33', 'exp=', 'a:gen.test:8080', '-all:x']))
        if r.random() < 0.1:
            terms.append('unknown=%{s}')
        return ' '.join(['v=spf1', *terms, end]).strip()
    for i in range(10):
        zone[f'_inc{i}.gen.test'] = [{'TXT': f'v=spf1 ip4:{CLIENTS[i % 4]}/{r.choice([24, 32])} ip6:{CLIENTS[4 + i % 2]} {r.choice(["-all", "~all", "?all", ""])}'.strip()}]
    questions = []
    for i in range(count):
        own = [{'TXT': record()}] if r.random() > 0.03 else []
        if r.random() < 0.03:
            own.append({'TXT': record()})
        own += r.choice([[], [], [{'A': r.choice(CLIENTS[:4])}], [{'A': '203.0.113.9'}, {'MX': [10, r.choice(hosts[:9])]}]])
        zone[f'd{i}.gen.test'] = own + [{'TXT': 'something else'}]
        sender = r.choice(['', f'user@d{i}.gen.test', f'foo-bar@d{i}.gen.test', f'user@d{i}.gen.test'])
        questions.append((r.choice(CLIENTS), f'd{i}.gen.test' if not sender else r.choice(['mail0.gen.test', 'mail4.gen.test', 'helo']), sender))
    return zone, questions


def explained(mine, question):
    """The differences that are known. python3-spf counts among the void look-ups, of which there may be two:
    - those of the client's names (PTR, and the addresses of what they name). They belong to the client, who could so make
      every record with ptr or %{p} invalid; RFC 7208 §5.5 has them skipped.
    - those of MX hosts behind the one that matches, which hato does not look up.
    Without that the two must agree."""
    import spf

    class WithoutNames(spf.query):
        def uncounted(self, look):
            counted, self.void_lookups = self.void_lookups, -1000
            try:
                return look()
            finally:
                self.void_lookups = counted

        def validated_ptrs(self):
            return self.uncounted(super().validated_ptrs)

    class WithoutMx(WithoutNames):
        def dns_mx(self, name):
            parent = super()
            return self.uncounted(lambda: parent.dns_mx(name))
    client, helo, sender = question
    for kind in (WithoutNames, WithoutMx):
        if kind(i=client, s=sender, h=helo).check()[0] == mine['result']:
            return kind.__name__


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_agrees_with_python_spf(folder, counted):
    import spf, dns.resolver
    zone, questions = generated()
    with dnsd.Dnsd(Zone(zone)) as server:
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port, resolver.lifetime = ['127.0.0.1'], server.port, 5
        before, dns.resolver.default_resolver = dns.resolver.default_resolver, resolver
        place = configure(folder + '/agree', server.port)
        try:
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                jobs = [pool.submit(ask, place, *q, 8000) for q in questions]
                theirs = [spf.check2(i=client, s=sender, h=helo) for client, helo, sender in questions]
                mine = [j.result() for j in jobs]
            wrong, known = [], {}
            for q, m, t in zip(questions, mine, theirs):
                why = m['result'] != t[0] and explained(m, q)
                if why:
                    known[why] = known.get(why, 0) + 1
                elif m['result'] != t[0]:
                    domain = q[2].split('@')[-1] or q[1]
                    wrong.append(f'{q}: hato {m["result"]} ({m["reason"]}), python3-spf {t}; {zone[domain]}')
        finally:
            dns.resolver.default_resolver = before
    counts = {r: sum(m['result'] == r for m in mine) for r in sorted({m['result'] for m in mine})}
    counted('SPF beside python3-spf', len(questions) - len(wrong), len(questions), f'explained: {known}; {counts}')
    assert not wrong, '\n'.join(wrong)
    assert len(counts) >= 6  # the table says something


# --- hostile records

def timed(place, *question, **more):
    started = time.monotonic()
    got = ask(place, *question, **more)
    return got, time.monotonic() - started


def test_hostile_records(folder):
    """Whatever a stranger publishes: bounded questions, bounded time, and the result that the RFC asks for."""
    many = ' '.join(f'ip4:10.{i // 250}.{i % 250}.1' for i in range(2500))
    data = {
        'self.test': [{'TXT': 'v=spf1 include:self.test -all'}],
        'tree.test': [{'TXT': 'v=spf1 ' + ' '.join(f'include:{n}.tree.test' for n in range(10)) + ' -all'}],
        **{f'{n}.tree.test': [{'TXT': 'v=spf1 ' + ' '.join(f'include:{k}.tree.test' for k in range(10)) + ' ~all'}] for n in range(10)},
        'ring.test': [{'TXT': 'v=spf1 redirect=ring2.test'}], 'ring2.test': [{'TXT': 'v=spf1 redirect=ring.test'}],
        'giant.test': [{'TXT': 'v=spf1 ' + many + ' ip4:192.0.2.10 -all'}],
        'macros.test': [{'TXT': 'v=spf1 exists:' + '%{s}.' * 9000 + 'x.test -all'}],
        'exp.test': [{'TXT': 'v=spf1 -all exp=long.exp.test'}], 'long.exp.test': [{'TXT': '%{s}' * 9000}],
        'loop.test': [{'CNAME': 'loop2.test'}], 'loop2.test': [{'CNAME': 'loop.test'}],
        'aloop.test': [{'TXT': 'v=spf1 a:loop.test -all'}],
        'voids.test': [{'TXT': 'v=spf1 ' + ' '.join(f'a:{n}.nowhere.test' for n in range(9)) + ' -all'}],
        'costly.test': [{'TXT': 'v=spf1 ' + 'a ' * 3000 + '-all'}, {'A': '192.0.2.99'}],
        'many.test': [{'TXT': f'text {n}'} for n in range(400)] + [{'TXT': 'v=spf1 -all'}],
        'slow.test': [{'TXT': 'v=spf1 a:s1.test a:s2.test a:s3.test -all'}], 's1.test': ['TIMEOUT'], 's2.test': ['TIMEOUT'],
        'slowptr.test': [{'TXT': 'v=spf1 ptr -all'}], '10.2.0.192.in-addr.arpa': ['TIMEOUT'],
        'ptr.test': [{'TXT': 'v=spf1 ptr:x.test -all'}],
        '11.2.0.192.in-addr.arpa': [{'PTR': f'p{n}.test'} for n in range(100)],
    }
    client = '192.0.2.10'
    with dnsd.Dnsd(Zone(data)) as server:
        place = configure(folder + '/hostile', server.port)
        for domain, want, most in [
            ('self.test', 'permerror', 3), ('tree.test', 'permerror', 13), ('ring.test', 'permerror', 4), ('giant.test', 'pass', 3),
            ('macros.test', 'fail', 3), ('exp.test', 'fail', 5), ('loop.test', 'temperror', 15), ('aloop.test', 'temperror', 15),
            ('voids.test', 'permerror', 6), ('costly.test', 'permerror', 5)]:
            server.asked.clear()
            got, seconds = timed(place, client, 'helo.test', 'user@' + domain, timeout=5000)
            assert got['result'] == want, (domain, got)
            assert seconds < 3 * around.SLOW and len(server.asked) <= most * 2, (domain, seconds, len(server.asked), server.asked[:30])
            assert not got['explanation']
        got, seconds = timed(place, client, 'helo.test', 'user@slow.test', timeout=1000)
        assert got['result'] == 'temperror' and seconds < 3 * around.SLOW
        got, seconds = timed(place, client, 'helo.test', 'user@slowptr.test', timeout=1600)
        assert got['result'] == 'fail' and seconds < 3 * around.SLOW, got
        server.asked.clear()
        got, seconds = timed(place, '192.0.2.11', 'helo.test', 'user@ptr.test', timeout=5000)
        assert got['result'] == 'fail' and len(server.asked) <= 24
        got, seconds = timed(place, client, 'helo.test', 'user@many.test', timeout=5000)
        assert got['result'] in ('fail', 'none') and seconds < 3 * around.SLOW
        # what they say of themselves
        for sender in ['user@' + 'a.' * 120 + 'test', '"' + 'x' * 5000 + '"@self.test', '@', 'a@b@', 'user@\u00e4.test', '\u00e4\u00f6@giant.test']:
            got, seconds = timed(place, client, 'x' * 3000, sender, timeout=5000)
            assert got['result'] in ('none', 'permerror', 'pass') and seconds < 3 * around.SLOW, (sender, got)
