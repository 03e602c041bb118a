# SPDX-License-Identifier: Apache-2.0
"""What the stories with people's programs share: running one, a certificate that names localhost, a terminal with somebody at the keys."""
import fcntl, os, pty, re, select, struct, subprocess, termios
from around import *


def certificate(folder):
    """Lines of main.cf; the files are FOLDER/localhost.crt and .key."""
    crt, key = make_certificate(folder, 'localhost')
    return f'smtpd_tls_cert_file = {crt}\nsmtpd_tls_key_file = {key}'


def home_of(folder, **more):
    return {**os.environ, 'HOME': str(folder), 'LC_ALL': 'C.UTF-8', 'TERM': 'xterm', 'MAILRC': '/dev/null', **more}


def run(command, home, input='', seconds=60):
    done = subprocess.run(command, input=input, env=home, capture_output=True, text=True, timeout=seconds * SLOW, errors='replace')
    assert done.returncode == 0, f'{command[0]}: exit {done.returncode}\n{done.stdout}\n{done.stderr}'
    return done.stdout


def plain(shown):
    """What a terminal showed, without the commands that move and colour."""
    text = re.sub(rb'\x1b(\[[0-9;?>= ]*[a-zA-Z@]|\][^\x07\x1b]*(\x07|\x1b\\)|[()][A-Z0-9]|[=>78cM])', b'', shown)
    return text.decode('utf-8', 'replace')


def at_terminal(command, home, steps, seconds=60):
    """Runs a program on a terminal of 140 x 40. steps: [(what to wait for, what to type then)]: the pattern is searched for in what was
    shown since the last step. The program must end by itself, with 0, after the last step. Returns all it showed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, home)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 40, 140, 0, 0))
    shown, since, left, end = b'', 0, list(steps), time.monotonic() + seconds * SLOW
    while True:
        if time.monotonic() > end:
            kill([pid])
            os.waitpid(pid, 0)
            os.close(terminal)
            raise AssertionError(f'{command[0]}: waited in vain for {left[0][0] if left else "its end"!r}; it showed\n{plain(shown)[-3000:]}')
        if select.select([terminal], [], [], 0.3)[0]:
            try:
                more = os.read(terminal, 65536)
                if b'\x1b[c' in more:  # "what are you?": aerc 0.20 waits for the answer before it ends
                    os.write(terminal, b'\x1b[?62;22c')
                shown += more
            except OSError:
                break  # it has ended
        elif left and re.search(left[0][0], plain(shown[since:])):
            since = len(shown)
            for key in left.pop(0)[1]:
                os.write(terminal, key.encode())
                time.sleep(0.02)
    os.close(terminal)
    status = os.waitpid(pid, 0)[1]
    assert status == 0 and not left, f'{command[0]}: status {status}, steps left {left}\n{plain(shown)[-3000:]}'
    return plain(shown)


def mbsync_rc(folder, server, user, more='', start=''):
    """FOLDER/rc: everything of this user's, both ways, kept in FOLDER/mail; the certificate is certificate(FOLDER)'s."""
    with open(f'{folder}/rc', 'w') as f:
        f.write(f'''{start}

IMAPAccount hato
Host localhost
Port {server.ports['imaps']}
User {user}
Pass secret
SSLType IMAPS
CertificateFile {folder}/localhost.crt

IMAPStore far
Account hato

MaildirStore near
Path {folder}/mail/
Inbox {folder}/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
Sync All
SyncState *
{more}
''')


def flags_of(server, user, folder='INBOX'):
    """{subject: set of flags}"""
    m = server.imap(user, select=folder)
    _, data = m.fetch('1:*', '(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])')
    m.logout()
    return {d[1].decode().split(':', 1)[1].strip(): set(re.search(r'FLAGS \((.*?)\)', d[0].decode()).group(1).split()) - {'\\Recent'}
            for d in data if isinstance(d, tuple)}
