# SPDX-License-Identifier: Apache-2.0
"""rspamd beside our DKIM and ARC: its verdicts on the samples and on mail of ours, and its signatures before our verifier."""
import glob, json, os, re, subprocess, urllib.request
import pytest
import around, trustprobe
from test_dkim import DATA, read, records, with_body, BODIES, CANONS, signer, sign
from trustprobe import crlf

# Lines of blanks only: for rspamd they are a body, for OpenDKIM, dkimpy and RFC 6376 §3.4.4 they are none.
# Debian 12 and Ubuntu 24.04 have a copy of rspamd's, Debian 13 that of all
SUFFIXES = next((p for p in ('/usr/share/rspamd/effective_tld_names.dat', '/usr/share/publicsuffix/effective_tld_names.dat') if os.path.exists(p)), '')
SOME = [b for b in BODIES if b != 'blanks']

pytestmark = pytest.mark.skipif(not os.path.exists('/usr/bin/rspamd'), reason='rspamd')


class Rspamd:
    """The bare scanner: no Redis, no maps, no rules but its own."""
    def __init__(self, folder, keys, conf=''):
        self.port = around.free_port()
        os.makedirs(folder, exist_ok=True)
        with open(f'{folder}/rspamd.conf', 'w') as f:
            f.write(f'''options {{ pidfile = "{folder}/pid"; filters = "dkim"; tempdir = "{folder}"; local_addrs = [];
  dns {{ nameserver = ["{keys.address}:{keys.port}"]; timeout = 5s; retransmits = 3; }} url_tld = "{SUFFIXES}"; }}
logging {{ type = "file"; filename = "{folder}/log"; level = "info"; }}
worker "normal" {{ bind_socket = "127.0.0.1:{self.port}"; count = 1; }}
modules {{ path = "/usr/share/rspamd/plugins"; }}
lua = "/usr/share/rspamd/rules/rspamd.lua";
dkim {{ }}
arc {{ enabled = true; }}
{conf}
''')
        self.process = subprocess.Popen(['rspamd', '-f', '-i', '-c', f'{folder}/rspamd.conf'], stdin=subprocess.DEVNULL,
                                        stdout=open(f'{folder}/out', 'wb'), stderr=subprocess.STDOUT)
        around.wait_port(self.port, seconds=120)  # it compiles 9,600 suffixes first

    def ask(self, mail, **headers):
        request = urllib.request.Request(f'http://127.0.0.1:{self.port}/checkv2', data=mail, headers=headers)
        with urllib.request.urlopen(request, timeout=30 * around.SLOW) as reply:
            return json.load(reply)

    def dkim(self, mail):
        """{(domain, selector): 'pass' or 'no'}, arc word"""
        symbols = self.ask(mail, IP='192.0.2.1')['symbols']
        found = {}
        for symbol in ('R_DKIM_REJECT', 'R_DKIM_PERMFAIL', 'R_DKIM_TEMPFAIL', 'R_DKIM_ALLOW'):
            for option in symbols.get(symbol, {}).get('options', ()):
                m = re.match(r'(.*):s=(.*)', option)
                if m:
                    found[m.groups()] = 'pass' if symbol == 'R_DKIM_ALLOW' else 'no'
        arc = [s for s in ('ARC_ALLOW', 'ARC_REJECT', 'ARC_INVALID', 'ARC_NA', 'ARC_DNSFAIL') if s in symbols]
        return found, {'ARC_ALLOW': 'pass', 'ARC_NA': 'none'}.get(arc[0], 'fail') if arc else 'none'

    def stop(self):
        around.end_process(self.process)


def ours(mail, keys, **options):
    return {(v.domain, v.selector): 'pass' if v.result == 'pass' else 'no' for v in trustprobe.verify(mail, keys, **options)}


def samples():
    """(mail, its records)"""
    for name in ('rfc6376-a3', 'rfc8463-a3'):
        yield read(f'rfc/{name}.eml'), records(read('rfc/dns.txt').decode())
    for path in sorted(glob.glob(DATA + '/mail-auth/*.txt')):
        zone, _, mail = read(path).replace(b'\r\n', b'\n').partition(b'\n\n')
        yield crlf(mail), records(zone.decode())
    for name in ('01-rfc8463', '08-our_signature'):  # not 11: rspamd knows no t=s
        yield crlf(read(f'chasquid/{name}.msg')), records(read(f'chasquid/{name}.dns').decode())


def test_verdicts_agree_on_the_samples(folder):
    keys = trustprobe.Keys({})
    rspamd = None
    try:
        rspamd = Rspamd(f'{folder}/rspamd', keys)
        for mail, zone in samples():
            keys.texts.clear()
            for name, texts in zone.items():
                keys.put(name, texts)
            for changed in (mail, mail.replace(b'\r\n\r\n', b'\r\n\r\nanother body\r\n', 1)):
                theirs, _ = rspamd.dkim(changed)
                mine = ours(changed, keys)
                # it says nothing of a signature that has expired
                assert mine == {k: theirs.get(k, 'no') for k in mine}, (theirs, changed[:300])
    finally:
        if rspamd:
            rspamd.stop()
        keys.stop()


def test_rspamd_verifies_ours(folder, signer):
    rspamd = Rspamd(f'{folder}/rspamd', signer.keys)
    try:
        for canon in CANONS:
            for body in SOME:
                for which in ('rsa', 'ed'):
                    mail = sign(signer, with_body(body), canon, which=[which], lifetime=86400)
                    assert rspamd.dkim(mail)[0] == {('signer.test', which): 'pass'}, (canon, body, which)
                    assert rspamd.dkim(mail.replace(b'ready', b'cold'))[0] == {('signer.test', which): 'no'}
        mail = sign(signer, with_body('usual'))
        for hop in range(3):
            mail = trustprobe.seal(mail, key=signer.options['rsa'], results='mx.signer.test; spf=pass', chain='pass' if hop else 'none')
            assert rspamd.dkim(mail)[1] == 'pass'
            assert rspamd.dkim(mail.replace(b'spf=pass', b'spf=fail'))[1] == 'fail'
    finally:
        rspamd.stop()


def test_ours_verifies_rspamd(folder, signer):
    os.makedirs(f'{folder}/rspamd')
    rspamd = Rspamd(f'{folder}/rspamd', signer.keys, f'''dkim_signing {{ enabled = true; sign_local = true; sign_authenticated = true;
  allow_username_mismatch = true; use_domain = "header"; use_esld = false; domain {{ signer.test {{ path = "{signer.paths['rsa']}"; selector = "rsa"; }} }} }}
''')
    try:
        for body in SOME:
            mail = with_body(body)
            reply = rspamd.ask(mail, User='joe@signer.test', From='joe@signer.test', IP='127.0.0.1')
            assert 'dkim-signature' in reply, reply['symbols'].keys()
            field = crlf('DKIM-Signature: ' + reply['dkim-signature'].strip() + '\n')
            (v,) = trustprobe.verify(field + mail, signer.keys)
            assert (v.result, v.reason) == ('pass', ''), (body, field)
    finally:
        rspamd.stop()
