# SPDX-License-Identifier: Apache-2.0
"""SPF: the suite of RFC 7208 (tests/data/spf) through the real DNS code, hostile records, and python3-spf beside us."""
import concurrent.futures, json, os, socket, subprocess, time
import dns.name, dns.rdata, dns.rdataclass, dns.rdatatype
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


def test_the_suite(folder):
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
    print(f'RFC 7208 suite: {len(jobs) - len(wrong)} of {len(jobs)} passed')
    assert not wrong, '\n'.join(wrong)
    assert len(jobs) == 203
