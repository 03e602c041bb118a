# SPDX-License-Identifier: Apache-2.0
"""Real database servers of Debian, each in a folder of its own on a free port, for lookup tables. Each class has a
missing(): why it cannot run here, or ''."""
import glob, os, pwd, shutil, subprocess, time
from around import *


def _find(name, *places):
    return shutil.which(name) or next((p for place in places for p in glob.glob(f'{place}/{name}')), None)


def _run(args, user=None, **more):
    if user and os.geteuid() == 0:
        args = ['runuser', '-u', user, '--'] + args
    return subprocess.run(args, capture_output=True, text=True, timeout=120, check=True, **more)


class Server:
    process = None

    def start_process(self, args, user=None, **more):
        if user and os.geteuid() == 0:
            args = ['runuser', '-u', user, '--'] + args
        self.process = subprocess.Popen(args, stdout=open(f'{self.folder}/out', 'a'), stderr=subprocess.STDOUT, **more)

    def finish(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def _folder(self, folder, user):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        if os.geteuid() == 0:
            entry = pwd.getpwnam(user)
            os.chown(folder, entry.pw_uid, entry.pw_gid)


class PostgreSQL(Server):
    @staticmethod
    def missing():
        return '' if PostgreSQL.program('initdb') else 'no PostgreSQL server (apt-get install postgresql)'

    @staticmethod
    def program(name):
        return _find(name, '/usr/lib/postgresql/*/bin')

    def __init__(self, folder):
        self._folder(folder, 'postgres')
        self.port = free_port()
        _run([self.program('initdb'), '-D', f'{folder}/data', '-A', 'trust', '-E', 'UTF8', '--no-sync', '-U', 'mail'], 'postgres', cwd='/')
        self.start()

    def start(self):
        self.start_process([self.program('postgres'), '-D', f'{self.folder}/data', '-p', str(self.port), '-k', self.folder, '-c', 'fsync=off',
                            '-c', 'listen_addresses=127.0.0.1'], 'postgres', cwd='/')
        wait_until(lambda: self.sql('SELECT 1', check=False).returncode == 0, what='PostgreSQL')

    def sql(self, text, check=True):
        return subprocess.run(['psql', '-h', '127.0.0.1', '-p', str(self.port), '-U', 'mail', '-d', 'postgres', '-v', 'ON_ERROR_STOP=1', '-qAtc', text],
                              capture_output=True, text=True, timeout=60, check=check)

    def finish(self):
        if self.process:  # runuser passes signals on, and postgres waits for clients
            subprocess.run([self.program('pg_ctl'), '-D', f'{self.folder}/data', '-m', 'immediate', 'stop'] if os.geteuid() else
                           ['runuser', '-u', 'postgres', '--', self.program('pg_ctl'), '-D', f'{self.folder}/data', '-m', 'immediate', 'stop'],
                           capture_output=True, timeout=60, cwd='/')
        super().finish()


class MariaDB(Server):
    @staticmethod
    def missing():
        return '' if _find('mariadbd', '/usr/sbin') and _find('mariadb-install-db') else 'no MariaDB server (apt-get install mariadb-server)'

    def __init__(self, folder):
        self._folder(folder, 'mysql')
        self.port, self.socket = free_port(), f'{folder}/sock'
        _run([_find('mariadb-install-db'), '--no-defaults', f'--datadir={folder}/data', '--auth-root-authentication-method=normal',
              '--skip-test-db'], 'mysql', cwd='/')
        self.start()

    def start(self):
        self.start_process([_find('mariadbd', '/usr/sbin'), '--no-defaults', f'--datadir={self.folder}/data', f'--socket={self.socket}',
                            f'--port={self.port}', '--bind-address=127.0.0.1', '--innodb-buffer-pool-size=8M', '--innodb-flush-log-at-trx-commit=0'],
                           'mysql', cwd='/')
        wait_until(lambda: self.sql('SELECT 1', check=False).returncode == 0, 60, 'MariaDB')

    def sql(self, text, check=True):
        return subprocess.run(['mariadb', '--no-defaults', '-S', self.socket, '-u', 'root', '--default-character-set=utf8mb4', '-e', text],
                              capture_output=True, text=True, timeout=60, check=check)


class Slapd(Server):
    @staticmethod
    def missing():
        return '' if _find('slapd', '/usr/sbin') else 'no LDAP server (apt-get install slapd)'

    def __init__(self, folder, ldif, before='', after=''):
        """before, after: lines for slapd.conf, for all and for the database."""
        self.folder = folder
        os.makedirs(f'{folder}/db', exist_ok=True)
        self.port = free_port()
        with open(f'{folder}/slapd.conf', 'w') as f:
            f.write(''.join(f'include /etc/ldap/schema/{s}.schema\n' for s in ('core', 'cosine', 'inetorgperson')))
            f.write(f'pidfile {folder}/pid\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n{before}database mdb\nmaxsize 10485760\n'
                    f'suffix "dc=example,dc=test"\nrootdn "cn=admin,dc=example,dc=test"\nrootpw secret\ndirectory {folder}/db\n{after}')
        with open(f'{folder}/data.ldif', 'w') as f:
            f.write(ldif)
        _run([_find('slapadd', '/usr/sbin'), '-q', '-f', f'{folder}/slapd.conf', '-l', f'{folder}/data.ldif'])
        self.start()

    def start(self):
        self.start_process([_find('slapd', '/usr/sbin'), '-d', '0', '-f', f'{self.folder}/slapd.conf', '-h',
                            f'ldap://127.0.0.1:{self.port} ldapi://{self.folder.replace("/", "%2F")}%2Fldapi'])
        wait_port(self.port)


class Memcached(Server):
    @staticmethod
    def missing():
        return '' if _find('memcached') else 'no memcached (apt-get install memcached)'

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.port = free_port()
        self.start()

    def start(self):
        self.start_process([_find('memcached'), '-l', '127.0.0.1', '-p', str(self.port), '-U', '0', '-m', '8', '-u', 'nobody'])
        wait_port(self.port)
