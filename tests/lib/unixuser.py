# SPDX-License-Identifier: Apache-2.0
"""Users of this machine, made for a story and gone with it (needs root)."""
import itertools, os, pwd, shutil, subprocess, time

_numbers = itertools.count()


class UnixUser:
    def __init__(self, folder, word='u'):
        self.name = f'hato{word}{os.getpid() % 1000000}x{next(_numbers)}'[:30]
        self.home = f'{folder}/home-{self.name}'
        for _ in range(50):  # another story may hold the lock of /etc/passwd
            done = subprocess.run(['useradd', '-M', '-d', self.home, '-s', '/bin/sh', self.name], capture_output=True, text=True)
            if done.returncode == 0:
                break
            time.sleep(0.1)
        assert done.returncode == 0, done.stderr
        entry = pwd.getpwnam(self.name)
        self.uid, self.gid = entry.pw_uid, entry.pw_gid
        os.makedirs(self.home, 0o755, exist_ok=True)
        os.chown(self.home, self.uid, self.gid)

    def path(self, name):
        return f'{self.home}/{name}'

    def write(self, name, text, mode=0o644):
        with open(self.path(name), 'w') as f:
            f.write(text)
        os.chmod(self.path(name), mode)
        os.chown(self.path(name), self.uid, self.gid)

    def read(self, name):
        try:
            with open(self.path(name), errors='replace') as f:
                return f.read()
        except OSError:
            return ''

    def maildir(self, name='Maildir'):
        """The messages in new/, as texts."""
        new = self.path(name) + '/new'
        return [self.read(f'{name}/new/{m}') for m in sorted(os.listdir(new))] if os.path.isdir(new) else []

    def gone(self):
        for _ in range(50):
            if subprocess.run(['userdel', self.name], capture_output=True).returncode in (0, 6):
                break
            time.sleep(0.1)
        shutil.rmtree(self.home, ignore_errors=True)
