# SPDX-License-Identifier: Apache-2.0
"""The Debian package (spec id S25): what is in it, that its program runs from where it was unpacked, what its scripts do."""
import os, re, shutil, subprocess
import pytest
from around import *
import hato

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.dirname(hato.HATO)
ANN = 'ann@example.test'
pytestmark = pytest.mark.skipif(shutil.which('dpkg-shlibdeps') is None or not os.path.exists(BUILD + '/libhato.so'),
                                reason='dpkg-dev; a build of the whole program')


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, timeout=120 * SLOW, **more)


@pytest.fixture
def package(folder):
    done = run(TOP + '/tools/deb', '--from', BUILD, folder)
    assert done.returncode == 0 and not done.stderr, done
    return done.stdout.strip()


def unpacked(package, folder):
    subprocess.run(['dpkg-deb', '-R', package, f'{folder}/root'], check=True)
    return f'{folder}/root'


def test_what_is_in_it(package, folder):
    fields = dict(re.findall(r'^(\S+): (.*)$', run('dpkg-deb', '-f', package).stdout, re.M))
    assert fields['Package'] == 'hato' and os.path.basename(package) == f'hato_{fields["Version"]}_{fields["Architecture"]}.deb'
    for field in ('Provides', 'Conflicts', 'Replaces'):  # as all of Debian's mail servers: one at a time
        assert 'mail-transport-agent' in fields[field].split(', ')
    assert 'libssl3' in fields['Depends'] and 'libc6' in fields['Depends'] and 'debconf' not in fields['Depends']
    files = set(re.findall(r' \.(/\S+)', run('dpkg-deb', '-c', package).stdout))
    assert {'/usr/sbin/sendmail', '/usr/lib/sendmail', '/usr/bin/mailq', '/usr/bin/newaliases', '/usr/sbin/postconf', '/usr/sbin/postqueue',
            '/usr/lib/systemd/system/hato.service', '/usr/lib/sysusers.d/hato.conf', '/usr/share/man/man1/hato.1.gz', '/usr/share/man/man1/sendmail.1.gz',
            '/usr/share/hato/tables/s25r', '/usr/share/doc/hato/copyright', '/var/spool/postfix/'} <= files
    assert not [f for f in files if re.match(r'/(usr/)?(local|var/lib)|/etc/.*[^/]$', f)], 'no settings and no mail are part of it'
    assert not [f for f in files if 'doveadm' in f or 'opendkim' in f]  # other packages' names, made where they are free
    beside = run('dpkg-query', '-L', *[p for p in ('dovecot-core', 'opendkim-tools', 'opendkim') if os.path.exists(f'/usr/share/doc/{p}')])
    assert not [f for f in set(beside.stdout.split()) & files if not os.path.isdir(f)], 'dpkg would not install it beside these'
    root = unpacked(package, folder)
    for name in ('postinst', 'prerm', 'postrm'):
        assert run('sh', '-n', f'{root}/DEBIAN/{name}').returncode == 0
    done = run('md5sum', '--quiet', '-c', 'DEBIAN/md5sums', cwd=root)
    assert done.returncode == 0, done
    with open(f'{root}/usr/lib/systemd/system/hato.service') as f:
        unit = f.read()
    assert 'ExecStart=/usr/sbin/hato ' in unit and 'ConditionPathExists=|/etc/hato/main.cf' in unit  # no start before there are settings
    if shutil.which('lintian'):
        nobody = 'bogus-mail-host,bogus-mail-host-in-debian-changelog,no-manual-page'  # who builds it names the maintainer (DEBEMAIL)
        done = run('lintian', '--allow-root', '--fail-on', 'error,warning', '--suppress-tags', nobody, package)
        assert done.returncode == 0, done.stdout


def test_it_runs(package, folder, hosts):
    """The program finds its library where the package puts it; a first message is sent and read."""
    root = unpacked(package, folder)
    server = hosts(start=False, accounts=[ANN])
    env = {'PATH': '/usr/bin:/bin', 'HATO_CONFIG': server.folder}
    started = run(f'{root}/usr/sbin/hato', 'start', env=env)
    assert started.returncode == 0, started
    done = run(f'{root}/usr/lib/sendmail', '-C', server.folder, '-t', env=env, input=f'To: {ANN}\nSubject: first\n\ntext\n')
    assert done.returncode == 0, done
    assert server.wait_message(ANN, 'first')['Subject'] == 'first'
    for pid in server.pids():
        assert os.readlink(f'/proc/{pid}/exe') == f'{root}/usr/sbin/hato'
    assert run(f'{root}/usr/sbin/postfix', '-c', server.folder, 'stop', env=env).returncode == 0


@pytest.mark.root
def test_removing_keeps_what_is_not_ours(package, folder):
    """The scripts, in a root of their own: foreign names and changed files stay, mail stays, ours go."""
    root = unpacked(package, folder)
    for path, text in (('usr/bin/doveadm', 'dovecot'), ('var/lib/hato/hato.db', 'mail'), ('etc/hato/main.cf', 'myhostname = a.test\n')):
        os.makedirs(os.path.dirname(f'{root}/{path}'), exist_ok=True)
        with open(f'{root}/{path}', 'w') as f:
            f.write(text)
    os.makedirs(f'{root}/calls')
    for name in ('systemd-sysusers', 'deb-systemd-helper', 'deb-systemd-invoke'):  # the system's; not to be asked for anything here
        with open(f'{root}/calls/{name}', 'w') as f:
            f.write(f'#!/bin/sh\necho {name} "$@" >>/calls/log\n')
        os.chmod(f'{root}/calls/{name}', 0o755)

    # the shell and its tools are this machine's, the package's files lie over them
    ready = f'mkdir -p {root}/dev {root}/over && mount --bind /dev {root}/dev && mount -t tmpfs over {root}/over && ' \
            f'mkdir {root}/over/work && cp -a {root}/usr {root}/over/usr && ' \
            f'mount -t overlay over -o lowerdir=/usr,upperdir={root}/over/usr,workdir={root}/over/work {root}/usr'
    for name in ('bin', 'sbin', 'lib', 'lib64'):
        os.symlink(f'usr/{name}', f'{root}/{name}')

    def script(call):
        return run('unshare', '-m', 'sh', '-c', f'{ready} || exit 99; exec chroot {root} env PATH=/calls:/usr/sbin:/usr/bin '
                   f'sh -c "rm -f /usr/bin/doveconf; /DEBIAN/{call}; ls -l /usr/bin/doveadm /usr/bin/doveconf 2>/dev/null; true"')
    done = script('postinst configure')
    if done.returncode == 99:
        pytest.skip('no overlays here: ' + done.stderr)
    assert 'doveconf -> /usr/sbin/hato' in done.stdout and 'doveadm ->' not in done.stdout, done
    with open(f'{root}/calls/log') as f:
        log = f.read()
    assert 'systemd-sysusers hato.conf' in log and 'deb-systemd-helper enable hato.service' in log
    with open(f'{root}/etc/aliases') as f:
        assert 'postmaster: root' in f.read()
    proto = f'{root}/etc/postfix/main.cf.proto'
    assert os.path.exists(proto)
    done = script('postinst configure && /DEBIAN/prerm remove')
    assert 'doveadm' in done.stdout and 'doveconf' not in done.stdout and not os.path.exists(proto), done
    script('postinst configure')
    with open(proto, 'a') as f:
        f.write('# mine\n')
    script('prerm remove')
    assert os.path.exists(proto)
    done = script('postrm purge')
    assert 'the mail in /var/lib/hato stays' in done.stderr
    for path in ('var/lib/hato/hato.db', 'etc/hato/main.cf', 'etc/aliases'):
        assert os.path.exists(f'{root}/{path}')
