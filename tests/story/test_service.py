# SPDX-License-Identifier: Apache-2.0
"""hato as a service of systemd: what the manager is told, and the unit that is installed."""
import os, re, shutil, signal, socket, subprocess
import pytest
from around import *

ANN = 'ann@example.test'


class Manager:
    """The end of NOTIFY_SOCKET that systemd holds."""
    def __init__(self, server, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind('\0' + name[1:] if name[0] == '@' else name)
        self.socket.settimeout(20 * SLOW)
        self.out = open(server.folder + '/out', 'wb')
        self.process = subprocess.Popen([HATO, '-c', server.folder, 'start', '--foreground'], stdout=self.out, stderr=subprocess.STDOUT,
                                        env={**server.env, 'NOTIFY_SOCKET': name})

    def hears(self, *words):
        text = self.socket.recv(1000).decode()
        for word in words:
            assert re.search(rf'^{word}', text, re.M), (words, text)

    def end(self):
        end_process(self.process, 30)
        self.socket.close()
        self.out.close()


@pytest.mark.parametrize('kind', ['path', 'abstract'])
def test_notices(hosts, kind):
    """sd_notify(3): ready when it serves, reloading until the new settings are in force or refused, stopping."""
    server = hosts(start=False, accounts=[ANN])
    manager = Manager(server, server.folder + '/notify' if kind == 'path' else f'@hato-test-{os.getpid()}')
    try:
        manager.hears('READY=1$')
        assert all(connects(port) for port in server.ports.values())
        for pid in server.pids():
            if pid != manager.process.pid:
                with open(f'/proc/{pid}/environ', 'rb') as f:
                    assert b'NOTIFY_SOCKET' not in f.read()
        server.configure('message_size_limit = 100000')
        server.hato('reload')
        manager.hears('RELOADING=1$', r'MONOTONIC_USEC=\d+$')
        manager.hears('READY=1$')
        assert b'SIZE 100000' in server.smtp().ehlo()[1]
        server.configure('message_size_limit = lots')
        manager.process.send_signal(signal.SIGHUP)  # the command would not even ask
        manager.hears('RELOADING=1$')
        manager.hears('READY=1$', 'STATUS=.*refused')
        manager.process.terminate()
        manager.hears('STOPPING=1$')
        assert manager.process.wait(30 * SLOW) == 0
        with open(server.folder + '/out') as out:
            assert 'hato/master[' not in out.read()  # the log is in its file
    finally:
        manager.end()


def test_a_start_that_fails_is_no_readiness(hosts):
    server = hosts(start=False)
    with socket.create_server(('127.0.0.1', server.ports['imap'])):
        manager = Manager(server, server.folder + '/notify')
        try:
            assert manager.process.wait(30 * SLOW) != 0
            manager.socket.settimeout(0.1)
            with pytest.raises(TimeoutError):
                manager.socket.recv(1000)
        finally:
            manager.end()


def test_unit(folder):
    """The unit as packages install it, as systemd reads it."""
    if shutil.which('systemd-analyze') is None:
        pytest.skip('systemd-analyze is not here')
    with open(os.path.dirname(__file__) + '/../../packaging/hato.service.in') as unit:
        text = unit.read().replace('@hato@', HATO)
    assert 'Type=notify' in text and '@' not in text
    with open(f'{folder}/hato.service', 'w') as f:
        f.write(text)
    done = subprocess.run(['systemd-analyze', 'verify', '--man=no', f'{folder}/hato.service'], capture_output=True, text=True)
    about = [line for line in (done.stdout + done.stderr).splitlines() if 'hato.service' in line]
    assert done.returncode == 0 and not about, done.stderr
