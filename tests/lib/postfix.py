# SPDX-License-Identifier: Apache-2.0
"""Debian's Postfix as the other side, in a folder, on an address and with a resolver of its own (needs root, as Postfix does).
What it delivers lies in Maildirs below .mail."""
import email, glob, os, pwd, re, shutil, subprocess
import pytest
from around import *


def version():
    """Debian's Postfix: "3.7.11"; "" where it is not installed."""
    postconf = shutil.which('postconf', path='/usr/sbin:/usr/bin')
    return subprocess.run([postconf, '-dh', 'mail_version'], capture_output=True, text=True).stdout.strip() if postconf else ''


# for stories that compare replies, lists and defaults to the letter: later versions have other words and more parameters
to_the_letter = pytest.mark.skipif(not version().startswith('3.7.'), reason=f'compares to the letter with Postfix 3.7; here is {version() or "none"}')

SERVICES = '''
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
'''


def once(text):
    """main.cf with each name's last value only: postlogd's warnings about the others go to postlogd, which then waits for itself."""
    entries = re.findall(r'^\w.*\n(?:[ \t].*\n)*', text + '\n', re.M)
    return ''.join({re.match(r'\w+', e)[0]: e for e in entries}.values())


class Postfix:
    def __init__(self, folder, domain, users=(), address='127.0.0.1', port=25, dns=None, main='', tls=True):
        self.folder, self.domain, self.address, self.port, self.dns = str(folder), domain, address, port, dns
        self.mail, self.process = self.folder + '/mail', None
        for sub in ('etc', 'spool', 'data', 'mail'):
            os.makedirs(f'{self.folder}/{sub}', exist_ok=True)
        owner = pwd.getpwnam('postfix')
        nobody = pwd.getpwnam('nobody')
        os.chown(self.folder + '/data', owner.pw_uid, owner.pw_gid)
        os.chown(self.mail, nobody.pw_uid, nobody.pw_gid)
        above = self.folder
        while above != '/':  # postfix's and nobody's processes come by here
            os.chmod(above, os.stat(above).st_mode | 0o011)
            above = os.path.dirname(above)
        shutil.copytree('/etc/postfix', self.folder + '/etc', dirs_exist_ok=True, symlinks=True)  # its scripts live there
        security = ''
        if tls:
            crt, key = make_certificate(self.folder, 'mx', f'mx.{domain}')
            security = f'smtpd_tls_chain_files = {key}, {crt}\nsmtpd_tls_security_level = may\nsmtpd_tls_loglevel = 1\n'
        with open(f'{self.folder}/etc/vmailbox', 'w') as f:
            f.writelines(f'{u}@{domain} {u}/\n' for u in users)
        with open(f'{self.folder}/etc/main.cf', 'w') as f:
            f.write(once(f'''compatibility_level = 3.6
queue_directory = {self.folder}/spool
data_directory = {self.folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.{domain}
mydomain = {domain}
myorigin = {domain}
mydestination =
inet_interfaces = 127.0.0.1
smtp_bind_address = {address}
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {self.mail}
virtual_mailbox_maps = texthash:{self.folder}/etc/vmailbox
virtual_uid_maps = static:{nobody.pw_uid}
virtual_gid_maps = static:{nobody.pw_gid}
virtual_minimum_uid = 1
smtpd_relay_restrictions = permit_mynetworks, reject
smtp_tls_security_level = may
smtp_tls_loglevel = 1
maillog_file = {self.folder}/data/mail.log
maillog_file_prefixes = {self.folder}
minimal_backoff_time = 2s
maximal_backoff_time = 4s
queue_run_delay = 2s
{security}{main}
'''))
        with open(f'{self.folder}/etc/master.cf', 'w') as f:
            f.write(f'{address}:{port} inet n - n - - smtpd\n' + SERVICES.lstrip())

    def start(self):
        inner = f'exec /usr/sbin/postfix -c {self.folder}/etc start-fg'
        command = ['sh', '-c', inner]
        if self.dns:  # the C library asks whom resolv.conf names, on port 53: only this Postfix sees ours
            with open(f'{self.folder}/resolv.conf', 'w') as f:
                f.write(f'nameserver {self.dns.address}\noptions timeout:2\n')
            command = ['unshare', '-m', 'sh', '-c', f'mount --bind {self.folder}/resolv.conf /etc/resolv.conf && {inner}']
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=open(self.folder + '/out', 'ab'),
                                        stderr=subprocess.STDOUT)
        wait_port(self.port, self.address, 90)  # its start is a shell script of many programs
        return self

    def stop(self):
        if self.process and self.process.poll() is None:
            subprocess.run(['/usr/sbin/postfix', '-c', self.folder + '/etc', 'stop'], capture_output=True)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                kill(descendants([self.process.pid]))
                self.process.wait()

    def messages(self, user):
        found = []
        for path in sorted(glob.glob(f'{self.mail}/{user}/new/*')):
            with open(path, 'rb') as f:
                found.append(email.message_from_binary_file(f))
        return found

    def subjects(self, user):
        return [str(m['Subject']) for m in self.messages(user)]

    def log(self):
        try:
            with open(self.folder + '/data/mail.log', errors='replace') as f:
                return f.read()
        except OSError:
            return ''
