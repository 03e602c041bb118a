# SPDX-License-Identifier: Apache-2.0
"""Debian's Dovecot on a port of its own, with every mail in Maildirs below a folder: FOLDER/mail/USER. Password: secret.
more: settings of its own."""
import contextlib, imaplib, os, pwd, subprocess
from around import *

CONF = '''
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = imap pop3
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
first_valid_uid = 1
mail_location = maildir:{folder}/mail/%u
mail_plugins =
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={folder}/home/%u
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
'''


class Dovecot:
    def __init__(self, folder, more=''):
        needs_dovecot_2_3()
        self.folder, self.address = str(folder), '127.0.0.1'
        self.ports = {'imap': free_port(self.address), 'pop3': free_port(self.address)}
        owner = pwd.getpwnam('mail')
        for name in ('', '/run', '/state', '/mail', '/home'):
            os.makedirs(self.folder + name, exist_ok=True)
        for name in ('/mail', '/home'):
            os.chown(self.folder + name, owner.pw_uid, owner.pw_gid)
        path = self.folder
        while path != '/tmp' and path != '/':  # Dovecot's user must get there
            os.chmod(path, os.stat(path).st_mode | 0o011)
            path = os.path.dirname(path)
        self.conf = self.folder + '/dovecot.conf'
        with open(self.conf, 'w') as f:
            f.write(CONF.format(folder=self.folder, **self.ports) + more)

    def maildir(self, user):
        return f'{self.folder}/mail/{user}'

    def give(self, user):
        """A Maildir that somebody else wrote becomes Dovecot's."""
        owner = pwd.getpwnam('mail')
        for path, dirs, files in os.walk(self.maildir(user)):
            for name in ['', *files]:
                os.chown(os.path.join(path, name), owner.pw_uid, owner.pw_gid)

    def __enter__(self):
        subprocess.run(['dovecot', '-c', self.conf], check=True, timeout=30)
        wait_until(lambda: self.greets(), 20, lambda: 'Dovecot: ' + open(self.folder + '/dovecot.log').read())
        return self

    def greets(self):
        import socket
        with contextlib.suppress(OSError), socket.create_connection((self.address, self.ports['imap']), 5) as s:
            return s.recv(100).startswith(b'* OK')

    def __exit__(self, *_):
        subprocess.run(['doveadm', '-c', self.conf, 'stop'], timeout=30)

    def imap(self, user, select=None):
        m = imaplib.IMAP4(self.address, self.ports['imap'], timeout=60 * SLOW)
        m.login(user, 'secret')
        if select:
            assert m.select(select)[0] == 'OK'
        return m
