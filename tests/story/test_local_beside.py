# SPDX-License-Identifier: Apache-2.0
"""local(8) and pipe(8) beside Debian's: a service in master.cf for each wish, the same for both. What programs are given, what stands in
files, and the line of the delivery in the log must be the same."""
import fcntl, os, re, smtplib, time
import pytest
import postfix as postfix_
from around import *
from test_local import DELIVERY, users  # noqa: F401

pytestmark = pytest.mark.root
HOST = 'mail.example.test'
DUMP = '{home}/dump {home}/{name}'
# who: the local part; {home} is the user's home, {name} the case's
LOCAL = {
    'env': ('mailbox_command = ' + DUMP, '{user}'),
    'cmdmap': ('mailbox_command_maps = inline:{{{{{user} = {home}/dump {home}/{name}}}}}', '{user}'),
    'cmdext': ('mailbox_command = {home}/dump {home}/{name} "$EXTENSION" "$USER" "$DOMAIN"', '{user}'),
    'shell': ('mailbox_command = {home}/dump {home}/{name} a\\ b "c d" $HOME', '{user}'),
    'execdir': ('mailbox_command = {home}/dump {home}/{name} ;; command_execution_directory = $home', '{user}'),
    'transportmap': ('mailbox_transport_maps = inline:{{{{{user} = error:5.2.9 by a map}}}}', '{user}'),
    'transport': ('mailbox_transport = retry:4.2.9 by a transport', '{user}'),
    'fallbackmap': ('fallback_transport_maps = inline:{{{{nobodyatall = error:5.1.9 by a map}}}}', 'nobodyatall'),
    'fallback': ('fallback_transport = error:5.1.9 fell', 'nobodyatall'),
    'unknown': ('', 'nobodyatall'),
    'luser': ('luser_relay = {user}+$user+$extension@example.test', 'nobodyatall'),
    'homeless': ('require_home_directory = yes', '{homeless}'),
    'status': ('local_delivery_status_filter = regexp:{{{{/^5.1.1 (.*)/ 4.1.9 not yet $$1}}}}', 'nobodyatall'),
    'timeout': ('mailbox_command = sleep 9 ;; command_time_limit = 1s', '{user}'),
    'broken': ('mailbox_command = {home}/no/such/program', '{user}'),
    'says': ('mailbox_command = echo some words; echo 5.7.9 more; exit 77', '{user}'),
    'nodelivered': ('prepend_delivered_header = ;; home_mailbox = {name}', '{user}'),
    'mbox': ('home_mailbox = {name}', '{user}'),
    'filtered': ('mailbox_command = {home}/dump {home}/{name} "$EXTENSION" "$DOMAIN" ;; command_expansion_filter = /._-abcdefghijklmnopqrstuvwxyz0123456789', '{user}+AxB'),
    'filteredhome': ('mailbox_command = {home}/dump {home}/{name} ;; command_expansion_filter = abcdefghijklmnopqrstuvwxyz', '{user}'),
    'shellof': ('mailbox_command = {home}/dump {home}/{name} ;; local_command_shell = /bin/sh -c', '{user}'),
    'path': ('forward_path = {home}/none, {home}/forward-$user ;; forward_expansion_filter = abcdefghijklmnopqrstuvwxyz0123456789', '{user}'),
    'nocommands': ('forward_path = {home}/forward-$user ;; allow_mail_to_commands = alias', '{user}'),
    'nofiles': ('forward_path = {home}/forward-file ;; allow_mail_to_files = alias', '{user}'),
    'files': ('forward_path = {home}/forward-file', '{user}'),
    'forwardext': ('forward_path = {home}/forward$recipient_delimiter$extension, {home}/none', '{user}+ext'),
    'spooldir': ('mail_spool_directory = {home}', '{user}'),
    'order': ('mailbox_transport_maps = inline:{{{{someoneelse = error:5.2.9 no}}}} ;; mailbox_transport = error:5.2.8 first ;; mailbox_command = ' + DUMP, '{user}'),
    # aliases belong to main.cf, which has expand_owner_alias and default_privs as well
    'owner': ('', 'list'),
    'privs': ('', 'program'),
    'execfilter': ('mailbox_command = ' + DUMP + ' ;; command_execution_directory = {home}/$user ;; execution_directory_expansion_filter = ./', '{user}'),
    'foreign': ('home_mailbox = foreign', '{user}'),
    'foreignok': ('home_mailbox = foreignok ;; strict_mailbox_ownership = no', '{user}'),
    'stale': ('home_mailbox = stale ;; mailbox_delivery_lock = dotlock ;; deliver_lock_attempts = 2 ;; deliver_lock_delay = 1s ;; stale_lock_time = 50s', '{user}'),
    'fresh': ('home_mailbox = fresh ;; mailbox_delivery_lock = dotlock ;; deliver_lock_attempts = 1 ;; stale_lock_time = 5000s', '{user}'),
    'chain': ('fallback_transport_maps = inline:{{{{someoneelse = error:5.1.8 no}}}} ;; fallback_transport = error:5.1.9 last ;; luser_relay = {user}', 'nobodyatall'),
}
VIRTUAL_USER = 'virtual_uid_maps = static:{uid} ;; virtual_gid_maps = static:{uid} ;; virtual_minimum_uid = 1 ;; virtual_mailbox_base = {home} ;; '
VIRTUAL = {
    'vmbox': (VIRTUAL_USER + 'virtual_mailbox_maps = static:vmbox', 'ann'),
    'vmaildir': (VIRTUAL_USER + 'virtual_mailbox_maps = static:vmaildir/', 'ann'),
    'vlimit': (VIRTUAL_USER + 'virtual_mailbox_maps = static:vlimit ;; virtual_mailbox_limit = 1000 ;; message_size_limit = 900', 'ann'),
    'vlock': (VIRTUAL_USER + 'virtual_mailbox_maps = static:vlock ;; virtual_mailbox_lock = dotlock ;; deliver_lock_attempts = 1', 'ann'),
    'vlockfcntl': (VIRTUAL_USER + 'virtual_mailbox_maps = static:vlockfcntl ;; virtual_mailbox_lock = fcntl ;; deliver_lock_attempts = 1', 'ann'),
    'vforeign': (VIRTUAL_USER + 'virtual_mailbox_maps = static:vforeign', 'ann'),
    'vforeignok': (VIRTUAL_USER + 'virtual_mailbox_maps = static:vforeignok ;; strict_mailbox_ownership = no', 'ann'),
    'vnobody': (VIRTUAL_USER + 'virtual_mailbox_maps = inline:{{{{bob@vnobody.test=x}}}}', 'ann'),
    'vstatus': (VIRTUAL_USER + 'virtual_mailbox_maps = inline:{{{{bob@vstatus.test=x}}}} ;; virtual_delivery_status_filter = regexp:{{{{/^5.1.1 (.*)/ 4.1.9 not yet $$1}}}}', 'ann'),
}
FORWARDS = {'forward-{user}': '"|{home}/dump {home}/path"\n', 'forward-file': '{home}/files.got\n', 'forward+ext': '"|{home}/dump {home}/forwardext"\n',
            'aliases': 'list "|{home}/dump {home}/owner"\nowner-list boss@far.test\n'
                       'program "|{home}/dump {home}/privs"\n',
            'vlimit': 'From x\n' + '\n' * 800, 'vlock': '', 'stale': '', 'fresh': '', 'vlock.lock': '', 'vlockfcntl.lock': ''}
FOREIGN = 'foreign', 'foreignok', 'vforeign', 'vforeignok'  # everybody may write to them, but they are root's
ALL = '$$sender $$recipient $$original_recipient $$user $$extension $$domain $$mailbox $$nexthop $$size $$queue_id $$client_hostname ' \
      '$$client_address $$client_helo $$client_protocol $$sasl_method $$sasl_username $$sasl_sender'.replace('$$', '$')
ARGS = 'argv={home}/dump {home}/{name} '
PIPE = {
    'macros': ('flags=', ARGS + ' '.join('${%s}' % w.strip('$') for w in ALL.split() if w not in ('$size', '$queue_id')), 'Ann+X'),
    'folded': ('flags=hu', ARGS + '${user} ${domain} ${recipient} ${extension}', 'Ann+X'),
    'quoted': ('flags=q', ARGS + '${user} ${recipient} ${sender}', '"a b"'),
    'inside': ('flags=', ARGS + 'a${user}b=$(extension) {two words}', 'Ann+X'),
    'fromline': ('flags=F', ARGS, 'ann'),
    'blank': ('flags=B', ARGS, 'ann'),
    'delivered': ('flags=D', ARGS, 'Ann+X'),
    'returnpath': ('flags=R', ARGS, 'ann'),
    'original': ('flags=O', ARGS, 'ann'),
    'escaped': ('flags=F>', ARGS, 'ann'),
    'dots': ('flags=.', ARGS, 'ann'),
    'final': ('flags=X', ARGS, 'ann'),
    'crlf': ('eol=\\r\\n', ARGS, 'ann'),
    'sizes': ('size=100', ARGS, 'ann'),
    'null': ('null_sender=<>', ARGS + '${sender}', 'ann'),
    'folder': ('directory={home}', ARGS, 'ann'),
    'exit75': ('flags=', 'argv=/bin/sh -c {echo not now; exit 75}', 'ann'),
    'exit67': ('flags=', 'argv=/bin/sh -c {echo 5.1.9 nobody; exit 67}', 'ann'),
    'exit9': ('flags=', 'argv=/bin/sh -c {exit 9}', 'ann'),
    'killed': ('flags=', 'argv=/bin/sh -c {kill -9 $$$$}', 'ann'),
    'status': ('-o {{ pipe_delivery_status_filter = regexp:{{{{/^4.3.0 (.*)/ 5.9.9 changed $$1}}}} }} flags=', 'argv=/bin/sh -c {echo not now; exit 75}', 'ann'),
    'absent': ('flags=', 'argv=/no/such/program', 'ann'),
}
SCRIPT = '''#!/bin/sh
out="$1"; shift
{ for i in "$@"; do echo "arg <$i>"; done; pwd; env | sort; cat; } > "$out.new" 2>&1
mv "$out.new" "$out.got"
'''
TEXT = 'From: x@good.test\r\nSubject: a letter\r\nDate: now\r\nMessage-ID: <1@x>\r\n\r\nFrom me\r\n.dot\r\nthe end\r\n'


def domain(name):
    return f'{name}.test'


def service(name, case, kind, names):
    if kind != 'pipe':
        options = ' '.join('-o { %s }' % o.format(name=name, **names) for o in case[0].split(' ;; ') if o)
        return f'{name} unix - n n - - {kind} {options}\n'
    return f'{name} unix - n n - - pipe {case[0].format(**names)} user={names["user"]} {case[1].replace("{home}", names["home"]).replace("{name}", name)}\n'


def normal(text, names):
    for word, value in sorted(names.items(), key=lambda w: -len(w[1])):
        text = text.replace(value, word.upper())
    text = re.sub(r'^From (.*?)  ?\w{3} \w{3} .*$', r'From \1  TIME', text, flags=re.M)
    text = re.sub(r'^Received: .*\n(?:[ \t].*\n)+', 'Received: X\n', text.replace('\r\n', '\r\n'), flags=re.M)
    text = re.sub(r'^(PWD|MAIL_CONFIG|_)=.*\n|^/\S*/spool(/\S*)?\n|^/var/spool\S*\n', '', text, flags=re.M)
    text = re.sub(r'forwarded as \w+', 'forwarded', text)
    text = re.sub(r'(local|pipe): fatal: (pipe_command: )?execvp ', '', re.sub(r' \)$', ')', text))
    text = re.sub(r'^Received: .*\r\n(?:[ \t].*\r\n)+', 'Received: X\r\n', text, flags=re.M)
    return text


@postfix_.to_the_letter
@pytest.mark.parametrize('kind', ['local', 'pipe', 'virtual'])
def test_services(hosts, folder, users, kind):
    cases = {'local': LOCAL, 'pipe': PIPE, 'virtual': VIRTUAL}[kind]
    got = {}
    for side in 'hato', 'postfix':
        base = f'{folder}/{side}'
        os.makedirs(base)
        os.chmod(base, 0o755)
        user, homeless = users('beside'), users('homeless')
        user.write('dump', SCRIPT, 0o755)
        os.rename(homeless.home, homeless.home + '.gone')
        names = dict(user=user.name, home=user.home, homeless=homeless.name, uid=str(os.stat(user.home).st_uid))
        for path, text in FORWARDS.items():
            user.write(path.format(**names), text.format(**names))
        for path in FOREIGN:
            user.write(path, '')
            os.chown(f'{user.home}/{path}', 0, 0)
            os.chmod(f'{user.home}/{path}', 0o666)
        os.mkdir(f'{user.home}/{"_" * len(user.name)}', 0o755)  # execfilter's
        for path in 'stale', 'fresh':
            user.write(path + '.lock', '')
            os.utime(f'{user.home}/{path}.lock', (time.time() - 100,) * 2)
        transports = ', '.join(f'{domain(n)}={n}:' for n in cases)
        main = (f'myhostname = {HOST}\nmyorigin = example.test\nmydestination = example.test\nlocal_recipient_maps = static:x\nalias_maps =\nalias_database =\n'
                f'relay_domains = {", ".join(domain(n) for n in cases)}\ntransport_maps = inline:{{{transports}}}\nappend_dot_mydomain = no\n'
                'recipient_delimiter = +\nminimal_backoff_time = 1h\nmaximal_backoff_time = 1h\ndefault_transport = discard:\nnotify_classes =\n'
                'smtpd_relay_restrictions = permit_mynetworks, reject\nsmtputf8_enable = no\nexport_environment = TZ MAIL_CONFIG LANG=C MINE=1\n'
                'local_transport = local:\nvirtual_mailbox_domains =\n')
        if kind == 'local':
            main += f'alias_maps = texthash:{user.home}/aliases\nexpand_owner_alias = yes\ndefault_privs = {user.name}\n'
        master = ''.join(service(n, c, kind, names) for n, c in cases.items())
        if side == 'hato':
            server = hosts(HOST, 'compatibility_level = 3.6\ndkim_sign = no\nrequiretls_enable = no\n' + main.split('\n', 1)[1],
                           services={'smtp': 'smtpd'}, start=False)
            with open(server.folder + '/master.cf', 'a') as f:
                f.write(DELIVERY +  master)
            server.start()
            port, stop = server.ports['smtp'], server.stop
        else:
            server = postfix_.Postfix(base, 'mail.example.test', port=free_port(), tls=False, main=main)
            with open(base + '/etc/master.cf', 'a') as f:
                f.write('local unix - n n - - local\n' + master)
            server.start()
            port, stop = server.port, server.stop
        try:
            for name, case in cases.items():
                with smtplib.SMTP('127.0.0.1', port, timeout=60 * SLOW) as s:
                    s.ehlo('client.test')
                    s.mail('x@good.test')
                    who = case[-1].format(**names) if kind != 'pipe' else case[-1]
                    code, said = s.docmd('RCPT', f'TO:<{who}@{domain(name)}>')
                    assert code == 250, said
                    s.data(TEXT)
            wait_until(lambda: all(re.search(rf'to=<[^>]*@{domain(n)}>,', server.log()) for n in cases), 40, lambda: server.log()[-4000:])
            time.sleep(1)
        finally:
            log = server.log()
            stop()
        for name in cases:
            lines = [normal(re.sub(r'delay=.*?dsn=', 'dsn=', re.sub(r'.*?to=', 'to=', l)), names) for l in log.splitlines() if re.search(rf'to=<[^>]*@{domain(name)}>,', l)]
            files = {}
            for path in (f'{user.home}/{name}.got', f'{user.home}/{name}', f'{user.home}/{user.name}'):  # the last is spooldir's
                if os.path.isfile(path):
                    with open(path, newline='') as f:
                        files[normal(path, names)] = normal(f.read(), names).splitlines(keepends=True)
            if name == 'owner':  # Postfix forgets to whom it was sent
                files = {k: [l for l in v if not re.match('(X-Original-To:|ORIGINAL_)', l)] for k, v in files.items()}
            got[side, name] = {'log': lines, **files}
    report = []
    for name in cases:
        a, b = got['hato', name], got['postfix', name]
        for what in sorted(set(a) | set(b)):
            if a.get(what) != b.get(what):
                only = [f'    - {l!r}' for l in b.get(what, ['(nothing)']) if l not in a.get(what, [])] + [f'    + {l!r}' for l in a.get(what, ['(nothing)']) if l not in b.get(what, [])]
                report += [f'{name}: {what} (- Postfix, + hato)', *only]
    assert not report, '\n'.join(report)


@postfix_.to_the_letter
def test_mailbox_locks(hosts, folder, users):
    """mailbox_delivery_lock: who holds which lock, and who waits for him."""
    kinds = {'fcntl': 'fcntl', 'flock': 'flock', 'dotlock': 'dotlock', 'both': 'fcntl,dotlock'}
    held, user, got = ('fcntl', 'flock', 'dotlock'), users('locks'), {}
    for side in 'hato', 'postfix':
        files = []
        cases = [(f'{side[0]}-{k}-{h}', kinds[k], h) for k in kinds for h in held]
        for name, _, h in cases:
            path = f'{user.home}/{name}'
            user.write(name, '')
            f = open(path, 'r+')
            if h == 'dotlock':
                user.write(f'{name}.lock', '')
            else:
                (fcntl.flock if h == 'flock' else fcntl.lockf)(f, fcntl.LOCK_EX)
            files.append(f)
        transports = ', '.join(f'{domain(n)}={n}:' for n, *_ in cases)
        main = (f'myhostname = {HOST}\nmyorigin = example.test\nmydestination = example.test\nlocal_recipient_maps = static:x\nalias_maps =\nalias_database =\n'
                f'relay_domains = {", ".join(domain(n) for n, *_ in cases)}\ntransport_maps = inline:{{{transports}}}\nlocal_transport = local:\n'
                'smtpd_relay_restrictions = permit_mynetworks, reject\nnotify_classes =\nminimal_backoff_time = 1h\nmaximal_backoff_time = 1h\n'
                'deliver_lock_attempts = 1\ndeliver_lock_delay = 1s\nvirtual_mailbox_domains =\n')
        master = ''.join('%s unix - n n - - local -o mailbox_delivery_lock=%s -o home_mailbox=%s\n' % (n, k, n) for n, k, _ in cases)
        if side == 'hato':
            server = hosts(HOST, 'compatibility_level = 3.6\n' + main.split('\n', 1)[1], services={'smtp': 'smtpd'}, start=False)
            etc = server.folder
        else:
            server = postfix_.Postfix(f'{folder}/locks', 'mail.example.test', port=free_port(), tls=False, main=main)
            etc = server.folder + '/etc'
        with open(etc + '/master.cf', 'a') as f:
            f.write((DELIVERY if side == 'hato' else 'local unix - n n - - local\n') + master)
        server.start()
        try:
            with smtplib.SMTP('127.0.0.1', server.ports['smtp'] if side == 'hato' else server.port, timeout=60 * SLOW) as s:
                for name, *_ in cases:
                    s.sendmail('x@good.test', [f'{user.name}@{domain(name)}'], TEXT)
            wait_until(lambda: all(re.search(rf'to=<[^>]*@{domain(n)}>,', server.log()) for n, *_ in cases), 60, lambda: server.log()[-4000:])
        finally:
            log = server.log()
            server.stop()
        for f in files:
            f.close()
        for name, k, h in cases:
            line = re.search(rf'to=<[^>]*@{domain(name)}>,.*dsn=(.*)', log)[1]
            got[side, k, h] = re.sub(rf'{user.home}/[hp]-|{user.name}', '', line)
    report = [f'{k} held {h}: hato {got["hato", k, h]}, Postfix {got["postfix", k, h]}' for side, k, h in got if side == 'hato' and got['hato', k, h] != got['postfix', k, h]]
    assert not report, '\n'.join(report)
    assert {h for (_, k, h), text in got.items() if k == 'flock' and 'deferred' in text} == {'flock'}
