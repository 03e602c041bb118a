# SPDX-License-Identifier: Apache-2.0
"""The system's resolvers fail: names are found from the root down. In a network of its own, where nsd has the addresses of the real
root servers and of those of com, and resolv.conf names a server that is not there, or one that refuses."""
import os, re, shutil, subprocess, time
import pytest
import nsd as nsd_
from around import *

pytestmark = pytest.mark.root
# those that are in libunbound's list, old and new
ROOTS = ('198.41.0.4 199.9.14.201 170.247.170.2 192.33.4.12 199.7.91.13 192.203.230.10 192.5.5.241 192.112.36.4 198.97.190.53 192.36.148.17 '
         '192.58.128.30 193.0.14.129 199.7.83.42 202.12.27.33').split()
COM, MX, RESOLVER = '192.5.6.30', '192.0.2.25', '192.0.2.53'


class Network:
    """A network namespace with loopback and all these addresses, and a mount namespace with its own resolv.conf."""
    def __init__(self, folder):
        self.folder = folder
        self.holder = subprocess.Popen(['unshare', '-n', '-m', 'sh', '-c', 'ip link set lo up && echo ready && exec sleep 600'],
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = self.holder.stdout.readline().strip()
        if said != 'ready':
            self.stop()
            pytest.skip(f'no network namespace can be made here: {said}')
        self.prefix = ['nsenter', '-n', '-m', '-t', str(self.holder.pid), '--']
        for address in (*ROOTS, COM, MX, RESOLVER):
            self.run('ip', 'addr', 'add', f'{address}/32', 'dev', 'lo')
        self.resolver(RESOLVER)

    def run(self, *command):
        return subprocess.run([*self.prefix, *command], check=True, capture_output=True, text=True).stdout

    def resolver(self, address):
        with open(f'{self.folder}/resolv.conf', 'w') as f:
            f.write(f'nameserver {address}\n')
        self.run('mount', '--bind', f'{self.folder}/resolv.conf', '/etc/resolv.conf')

    def stop(self):
        self.holder.kill()
        self.holder.wait()


@pytest.fixture
def network(folder):
    if not shutil.which('ip'):
        pytest.skip('no ip(8) here (iproute2)')
    n = Network(folder)
    yield n
    n.stop()


@pytest.mark.parametrize('resolver', ['is not there', 'refuses'])
def test_from_the_root(network, hosts, folder, resolver):
    dns = nsd_.Nsd(f'{folder}/nsd', f'com NS a.gtld-servers.net.\na.gtld-servers.net A {COM}\n', address=ROOTS[0], port=53, more=(*ROOTS[1:], COM),
                   servers=''.join(f'. NS {chr(97 + n)}.root-servers.net.\n{chr(97 + n)}.root-servers.net. A {a}\n' for n, a in enumerate(ROOTS)),
                   zones={'com': f'b MX 10 mx.b\nmx.b A {MX}\nns A {COM}\n'}, signed=True, prefix=network.prefix).start()
    refusing = None
    if resolver == 'refuses':  # a server that knows nothing answers REFUSED
        refusing = nsd_.Nsd(f'{folder}/refusing', '', address=RESOLVER, port=53, prefix=network.prefix)
        with open(f'{folder}/refusing/nsd.conf') as f:
            text = f.read()
        with open(f'{folder}/refusing/nsd.conf', 'w') as f:
            f.write(text[:text.index('zone:\n')])
        refusing.start()
    try:
        main = f'dns_resolvers =\ndns_trust_anchor_file = {dns.anchor}\nminimal_backoff_time = 1s\nmaximal_backoff_time = 2s\n'
        b = hosts('mx.b.com', main, address=MX, ports={'smtp': 25}, services={'smtp': 'smtpd'}, start=False)
        a = hosts('mail.a.test', main, services={'smtp': 'smtpd'}, start=False)
        for one in (b, a):
            one.prefix = network.prefix
            one.account('bob@b.com' if one is b else 'ann@a.test')
            one.start()
        started = time.monotonic()
        sendmail = os.path.join(os.path.dirname(HATO), 'sendmail')
        subprocess.run([*network.prefix, sendmail, '-C', a.folder, '-f', 'ann@a.test', 'bob@b.com'], input='Subject: from the root\n\nhello\n', text=True, check=True)
        a.wait_log(r'to=<bob@b\.com>, relay=mx\.b\.com\[192\.0\.2\.25\]:25, .*status=sent', 40)
        assert time.monotonic() - started < 35 * SLOW
        assert 'status=deferred' not in a.log()
        b.wait_log(r'to=<bob@b\.com>.*status=sent')
        # what the root does not know, does not exist: no doubt is left because a resolver failed
        subprocess.run([*network.prefix, sendmail, '-C', a.folder, '-f', 'ann@a.test', 'bob@nowhere.com'], input='Subject: x\n\nhello\n', text=True, check=True)
        a.wait_log(r'to=<bob@nowhere\.com>.*status=bounced .*Host not found', 40)
    finally:
        dns.stop()
        if refusing:
            refusing.stop()
