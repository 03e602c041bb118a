# SPDX-License-Identifier: Apache-2.0
"""Debian's nsd as the whole domain name system: one root zone, written as text, on an address of loopback."""
import os, re, subprocess, time
from around import *


class Nsd:
    def __init__(self, folder, records, address='127.0.0.1', port=None, zones=None, ttl=1, signed=False, servers=None, more=(), prefix=()):
        """zones: {"b.test": records} for domains that shall be zones of their own, with NS records. signed: the root is signed, and
        .anchor is the file of its key; the zones are not, and the root proves it. servers: the root's own NS records and their addresses. more: further addresses to answer
        on. prefix: the command to run it under, as nsenter."""
        self.servers, self.prefix = servers or 'ns.test. IN A 127.0.0.1\n. IN NS ns.test.\n', list(prefix)
        self.folder, self.address, self.port, self.ttl, self.signed = str(folder), address, port or free_port(address), ttl, signed
        os.makedirs(self.folder, exist_ok=True)
        self.process = None
        if signed:
            self.key = subprocess.run(['ldns-keygen', '-a', 'ECDSAP256SHA256', '-k', '.'], cwd=self.folder, check=True,
                                      capture_output=True, text=True).stdout.strip()
            self.anchor = f'{self.folder}/{self.key}.ds'
        self.write(records)
        with open(self.folder + '/nsd.conf', 'w') as f:
            f.write('server:\n' + ''.join(f' ip-address: {a}@{self.port}\n' for a in (address, *more)) + f' username: ""\n zonesdir: "{self.folder}"\n'
                    f' pidfile: "{self.folder}/nsd.pid"\n xfrdfile: "{self.folder}/xfrd"\n zonelistfile: "{self.folder}/zones"\n'
                    f' logfile: "{self.folder}/nsd.log"\n database: ""\n server-count: 1\n do-ip6: no\n'
                    f'remote-control:\n control-enable: no\nzone:\n name: "."\n zonefile: "root.zone"\n')
            f.writelines(f'zone:\n name: "{z}"\n zonefile: "{z}.zone"\n' for z in zones or ())
        for zone, text in (zones or {}).items():  # one without text has no file: questions about it fail for now
            if text is not None:
                self._zone(zone + '.zone', f'@ NS ns.{zone}.\n{text}', zone + '.')

    def write(self, records):
        """records: lines as in a zone file, names relative to the root: "b.test MX 10 mx.b.test."."""
        self._zone('root.zone', self.servers + records, '.')
        if self.signed:
            subprocess.run(['ldns-signzone', '-f', 'root.signed', '-e', time.strftime('%Y%m%d', time.gmtime(time.time() + 864000)),
                            '-i', time.strftime('%Y%m%d', time.gmtime(time.time() - 864000)), 'root.zone', self.key],
                           cwd=self.folder, check=True, capture_output=True)
            os.replace(f'{self.folder}/root.signed', f'{self.folder}/root.zone')

    def _zone(self, file, records, origin):
        with open(f'{self.folder}/{file}', 'w') as f:
            f.write(f'$ORIGIN {origin}\n$TTL {self.ttl}\n@ IN SOA ns.test. root.test. 1 60 60 60 {self.ttl}\n')
            f.write(re.sub(r'^\s+', '', records, flags=re.M))

    def start(self):
        self.process = subprocess.Popen([*self.prefix, '/usr/sbin/nsd', '-d', '-c', self.folder + '/nsd.conf'], stdin=subprocess.DEVNULL,
                                        stdout=open(self.folder + '/out', 'ab'), stderr=subprocess.STDOUT)
        if self.prefix:
            wait_until(lambda: os.path.exists(self.folder + '/nsd.pid'), 20, 'nsd')
        else:
            wait_port(self.port, self.address)
        return self

    def stop(self):
        if self.process:
            end_process(self.process)

    def change(self, records):
        self.stop()
        self.write(records)
        return self.start()
