# SPDX-License-Identifier: Apache-2.0
"""Debian's Dovecot 2.3 in a folder and on ports of its own: LMTP in, Maildirs, IMAP out. Defaults wherever possible. And what
the processes of either side use."""
import os, pwd, subprocess, sys, time
from around import *


def cpu_seconds(roots):
    """What these processes and their descendants used until now, children that have ended included."""
    ticks = 0
    for p in descendants(roots):
        try:
            with open(f'/proc/{p}/stat') as f:
                ticks += sum(map(int, f.read().rsplit(')', 1)[1].split()[11:15]))
        except OSError:
            pass
    return ticks / os.sysconf('SC_CLK_TCK')


def pss_kib(roots):
    total = 0
    for p in descendants(roots):
        try:
            with open(f'/proc/{p}/smaps_rollup') as f:
                total += next(int(l.split()[1]) for l in f if l.startswith('Pss:'))
        except (OSError, StopIteration):
            pass
    return total


def settled_pss_kib(roots, seconds=60):
    """The same once it rests: what log-ins and loads leave (the database's mapping, indexing) goes within seconds."""
    last = [pss_kib(roots)]
    while len(last) < seconds and (len(last) < 4 or max(last[-4:]) > 1.01 * min(last[-4:])):
        time.sleep(1)
        last.append(pss_kib(roots))
    return last[-1]


class Dovecot:
    def __init__(self, folder, domain, users, password):
        version = subprocess.run(['dovecot', '--version'], capture_output=True, text=True).stdout
        if not version.startswith('2.3'):
            sys.exit(f'bench/run: the peer is configured for Dovecot 2.3, this is {version.split()[0]}')
        self.folder, self.domain, self.mail = str(folder), domain, f'{folder}/mail'
        self.lmtp, self.imap, self.imaps = free_port(), free_port(), free_port()
        nobody = pwd.getpwnam('nobody')
        for sub in ('run', 'state', 'mail'):
            os.makedirs(f'{self.folder}/{sub}', exist_ok=True)
        os.chown(self.mail, nobody.pw_uid, nobody.pw_gid)
        crt, key = make_certificate(self.folder, 'mx', f'mx.{domain}')
        with open(f'{self.folder}/users', 'w') as f:
            f.writelines(f'{u}@{domain}:{{PLAIN}}{password}:{nobody.pw_uid}:{nobody.pw_gid}::{self.mail}/{u}::\n' for u in users)
        with open(f'{self.folder}/dovecot.conf', 'w') as f:
            f.write(f'''base_dir = {self.folder}/run
state_dir = {self.folder}/state
log_path = {self.folder}/log
protocols = imap lmtp
listen = 127.0.0.1
ssl = yes
ssl_cert = <{crt}
ssl_key = <{key}
disable_plaintext_auth = no
auth_username_format = %Lu
first_valid_uid = 100
mail_location = maildir:~/Maildir
mail_max_userip_connections = 0
passdb {{
  driver = passwd-file
  args = username_format=%u {self.folder}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {self.folder}/users
}}
namespace inbox {{
  inbox = yes
}}
service imap-login {{
  inet_listener imap {{
    port = {self.imap}
  }}
  inet_listener imaps {{
    port = {self.imaps}
  }}
  process_min_avail = 2
  service_count = 0
  client_limit = 10000
}}
service imap {{
  process_limit = 8000
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {self.lmtp}
  }}
}}
service auth {{
  client_limit = 30000
}}
service anvil {{
  client_limit = 30000
}}
''')

    def start(self):
        self.process = subprocess.Popen(['dovecot', '-F', '-c', f'{self.folder}/dovecot.conf'], stdin=subprocess.DEVNULL,
                                        stdout=open(f'{self.folder}/out', 'ab'), stderr=subprocess.STDOUT)
        wait_port(self.imap)
        wait_port(self.lmtp)
        return self

    def stop(self):
        all_ = descendants([self.process.pid])
        end_process(self.process)
        kill(all_)
