# SPDX-License-Identifier: Apache-2.0
"""Lookup tables: what postmap -q answers is what Debian's answers, type by type; and databases are real ones."""
import os, shutil, socket, socketserver, subprocess, threading, time
import pytest
import databases, postfix
from around import *

OURS = os.path.join(os.path.dirname(HATO), 'postmap')
THEIRS = '/usr/sbin/postmap'


class Tables:
    """A folder with tables and a configuration, asked with both programs."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(f'{folder}/etc', exist_ok=True)
        self.write('etc/main.cf', f'compatibility_level = 3.6\nqueue_directory = {folder}\n')
        theirs = '/etc/postfix'
        for name in ('dynamicmaps.cf', 'dynamicmaps.cf.d', 'postfix-files', 'postfix-files.d'):
            if os.path.exists(f'{theirs}/{name}'):
                os.symlink(f'{theirs}/{name}', f'{folder}/etc/{name}')

    def write(self, name, text):
        path = f'{self.folder}/{name}'
        with open(path, 'w', encoding='utf-8', errors='surrogateescape') as f:
            f.write(text)
        return path

    def run(self, program, *args, keys=None):
        return subprocess.run([program, *args], input=keys, capture_output=True, text=True, timeout=60 * SLOW, cwd=self.folder,
                              encoding='utf-8', errors='surrogateescape', env=dict(os.environ, MAIL_CONFIG=f'{self.folder}/etc'))

    def ask(self, table, *keys, program=OURS):
        return self.run(program, '-q', '-', table, keys=''.join(k + '\n' for k in keys))

    def same(self, table, keys, make=False):
        """Both answer all keys alike; returns the answers."""
        if make:
            assert self.run(THEIRS, table).returncode == 0
        ours, theirs = self.ask(table, *keys), self.ask(table, *keys, program=THEIRS)
        assert (ours.stdout, ours.returncode) == (theirs.stdout, theirs.returncode), (table, ours.stderr, theirs.stderr)
        return ours.stdout


@pytest.fixture
def tables(folder):
    return Tables(folder)


@pytest.fixture
def postfix_types():
    if not os.path.exists(THEIRS):
        pytest.skip('no postmap of Postfix')
    return subprocess.run(['/usr/sbin/postconf', '-c', '/usr/share/postfix', '-m'], capture_output=True, text=True).stdout.split() or []


ADDRESSES = ['user@example.com', 'USER@Example.COM', 'user+ext@example.com', 'user', '@example.com', 'example.com', '.example.com', 'other@sub.example.com',
             '', ' ', 'a b', '"a b"@x.org', '"A B"@x.org', 'a b@x.org', 'ünï@example.com', 'x' * 300, 'tab\tkey', '#comment', 'nothing', 'novalue',
             'dup', 'cont', 'colon:', 'colon', '"q\\"uoted"@x.org', 'bs\\', '192.0.2.1', '*', 'key=value', '{a}', '$user', '%s', "o'neil@x.org"]
TEXT = '''# comment
user@example.com   first value
user+ext@example.com second
user third
@example.com catch all
example.com domain
.example.com parent
"a b"@x.org quoted
ünï@example.com unicode ü
novalue
dup 1
DUP 2
cont one
   two
# between
   three

   four
colon: with colon
"q\\"uoted"@x.org q
bs\\ back
192.0.2.1 ip
* star
key=value equals
{a} brace
$user dollar
%s percent
o'neil@x.org quote
trailing blanks   \t
last   without end'''


@pytest.mark.parametrize('kind', ['texthash', 'hash', 'btree', 'lmdb', 'cdb'])
def test_text(tables, postfix_types, kind):
    """A text is read as it is: no compiled file is needed, and none is looked at."""
    theirs = subprocess.run(['/usr/sbin/postconf', '-m'], capture_output=True, text=True, env=dict(os.environ, MAIL_CONFIG=f'{tables.folder}/etc')).stdout.split()
    if kind not in theirs:
        pytest.skip(f"Debian's Postfix here has no {kind}")
    path = tables.write('t', TEXT)
    keys = [k for k in ADDRESSES if k] + ['trailing', 'last', 'TRAILING']
    out = tables.same(f'{kind}:{path}', keys, make=kind != 'texthash')
    assert len(out.splitlines()) > 20
    listed = [tables.run(p, '-s', f'{kind}:{path}') for p in (OURS, THEIRS)]
    if listed[1].stdout:  # not all types of Postfix can list
        assert sorted(listed[0].stdout.splitlines()) == sorted(listed[1].stdout.splitlines())


def test_compiled_without_text(tables, postfix_types):
    theirs = subprocess.run(['/usr/sbin/postconf', '-m'], capture_output=True, text=True, env=dict(os.environ, MAIL_CONFIG=f'{tables.folder}/etc')).stdout.split()
    tried = 0
    for kind in ('lmdb', 'cdb'):
        if kind not in theirs:
            continue
        path = tables.write(f'c-{kind}', TEXT)
        assert tables.run(THEIRS, f'{kind}:{path}').returncode == 0
        os.unlink(path)
        tables.same(f'{kind}:{path}', [k for k in ADDRESSES if k])
        tried += 1
    path = tables.write('c', TEXT)
    assert tables.run(THEIRS, f'hash:{path}').returncode == 0
    os.unlink(path)
    done = tables.run(OURS, '-q', 'user', f'hash:{path}')
    assert done.returncode == 1 and 'restore the text' in done.stderr
    if not tried:
        pytest.skip("Debian's Postfix here has neither lmdb nor cdb")


def test_words_of_a_query(tables, postfix_types):
    """-f asks for the key as it is; a query does not complain again of the text that making complained of; -q - of aliases has the colon."""
    path, names = tables.write('words', 'Ann one\nbob two\nann three\n'), tables.write('names', 'root: ann\nann: bob\n')
    for program in ('postmap', 'postalias'):
        assert subprocess.run([f'/usr/sbin/{program}', '-c', f'{tables.folder}/etc', f'hash:{path if program == "postmap" else names}'], capture_output=True).returncode == 0

    def both(program, *args, input=None):
        theirs = subprocess.run([f'/usr/sbin/{program}', '-c', f'{tables.folder}/etc', *args], capture_output=True, text=True, input=input)
        ours = subprocess.run([HATO, program, '-c', f'{tables.folder}/etc', *args], capture_output=True, text=True, input=input)
        assert (ours.returncode, ours.stdout, ours.stderr) == (theirs.returncode, theirs.stdout, theirs.stderr), args
    for key in ('ann', 'Ann', 'bob', 'BOB', 'none'):
        both('postmap', '-q', key, f'hash:{path}')
        both('postmap', '-f', '-q', key, f'hash:{path}')
    both('postmap', '-q', '-', f'hash:{path}', input='ann\nnone\nBob\n')
    both('postalias', '-q', '-', f'hash:{names}', input='root\nnone\n')
    both('postalias', '-f', '-q', 'ROOT', f'hash:{names}')


def test_aliases(tables, postfix_types):
    path = tables.write('aliases', '# c\nroot: ann, bob\nPostmaster : root\n"two words": |"/bin/cat x"\nlist::include:/x\nnocolon\nbad@x: y\n'
                                   'owner-list:\n ann\n,bob\nfile: /var/mail/x\n"q\\"x": z\ntwice: 1\ntwice: 2\n')
    both = [tables.run(p, f'hash:{path}') for p in (os.path.join(os.path.dirname(HATO), 'postalias'), '/usr/sbin/postalias')]
    assert [b.returncode for b in both] == [0, 0]
    for line in both[1].stderr.splitlines():
        if '.db:' not in line:
            assert line in both[0].stderr
    keys = ['root', 'ROOT', 'postmaster', 'two words', 'Two Words', 'list', 'nocolon', 'bad@x', 'owner-list', 'file', 'q"x', 'twice', 'x']
    tables.same(f'hash:{path}', keys)


@pytest.mark.parametrize('kind', ['regexp', 'pcre'])
def test_patterns(tables, postfix_types, kind):
    if kind == 'pcre' and not os.path.exists('/usr/lib/postfix/postfix-pcre.so'):
        pytest.skip("Debian's Postfix here has no pcre")
    path = tables.write('p', r'''
# comment
/^(us)(er)@(.*)$/  $2 ${1} $(3) $$ end
/CASE/i            case counts
!/@/               no at in it
if /example\.com$/
/^sub/             sub of
if !/^x/
/^([a-w])+@/       not x: $1
endif
/^x/               is x
endif
|^pipe|a@          odd delimiter
/slash\/es/        slashes
/a(b)?c@/          <$1>
/(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)@ten/ $10 $1
/dup@/             one
/dup@/             two
/unterminated      x
/(/                broken
/ok@/z             unknown flag
/novalue@/
/multi@/           a
   continued
//                 empty pattern
endif
/range@/           $9
''')
    keys = ['user@example.org', 'USER@EXAMPLE.ORG', 'CASE@x', 'case@x', 'plain', 'sub@example.com', 'abc@example.com', 'xyz@example.com', 'pipe@x',
            'pipea@x', 'slash/es@', 'abc@x', 'ac@x', 'abcdefghij@ten', 'dup@x', 'ok@x', 'novalue@x', 'multi@x', 'range@x', 'ünï@x', '@', 'a\tb@x']
    tables.same(f'{kind}:{path}', keys)
    tables.same(kind + ':{{/a(.)c/ got $$1}, {/x, y/ comma}}'.replace('$$', '$'), ['abc', 'x, y', 'zzz'])


def test_pcre_flags(tables, postfix_types):
    if not os.path.exists('/usr/lib/postfix/postfix-pcre.so'):
        pytest.skip("Debian's Postfix here has no pcre")
    path = tables.write('p', '/^a b/x one\n/^c.d$/s two\n/(?<n>e+)f/ $1\n/g+/U g\n/^h$/E h\n/\\bword\\b/ w\n/^ümlaut/ u\n/i(?=j)/ ahead\n/^k/A k\n')
    tables.same(f'pcre:{path}', ['ab', 'a b', 'c\td', 'cxd', 'eef', 'ggg', 'h', 'a word b', 'sword', 'ümlaut', 'ÜMLAUT', 'ij', 'ik', 'k', 'xk'])


def test_cidr(tables, postfix_types):
    path = tables.write('c', '''10.0.0.1/8 host bits
192.0.2.0/24 net
1.2.3.4/33 mask
[2001:db8::]/32 v6 net
::1 loop
if 10.0.0.0/8
10.1.0.0/16 ten one
!10.2.0.0/16 ten but two
endif
!172.16.0.0/12 not sixteen
::/0 any v6
0.0.0.0/0 any
1.2.3.0/24
junk x
endif
''')
    tables.same(f'cidr:{path}', ['192.0.2.77', '1.2.3.4', '2001:db8::1', '2001:DB8:0:0::1', '::1', '[::1]', '10.1.2.3', '10.2.3.4', '10.3.0.1', '172.16.1.1',
                                 '8.8.8.8', 'fe80::1', '1.2.3', 'name', '::ffff:1.2.3.4', '01.2.3.4', '1.2.3.4.5', '256.1.1.1'])


@pytest.mark.parametrize('table', [
    'inline:{user=1, {two = a b c}, USER2=x}', 'static:value', 'static:{a b}', 'unionmap:{inline:{user=1},inline:{user=2,two=3},static:4}',
    'unionmap:{inline:{user=1},inline:{two=3}}', 'pipemap:{inline:{user=two},inline:{two=end}}', 'pipemap:{static:a,inline:{b=c}}', 'randmap:{same,same}',
    'environ:any', 'internal:any', 'unix:passwd.byname', 'unix:group.byname', 'fail:x', 'nosuch:x', 'inline:{}', 'inline:{a}', 'unionmap:{}', 'unionmap:x',
    'unix:x', 'regexp:{/a/ 1}', 'regexp:{{/u/ 1}', 'pipemap:{fail:x,static:y}', 'unionmap:{static:x,fail:y}', 'randmap:{}', 'static:', 'cidr:{{127.0.0.0/8 me}}'])
def test_simple(tables, postfix_types, table):
    tables.same(table, ['user', 'USER', 'two', 'user2', 'root', 'daemon', 'path', 'nobody', '127.0.0.1'])


# Servers by hand.

class TcpTable(socketserver.StreamRequestHandler):
    answers = {'user@example.com': '200 a%20b%25', 'temp': '400 try later', 'odd': 'hello', 'a%20b': '200 blank', 'raw': '200 as it is', 'bad': '200 %zz'}

    def handle(self):
        while line := self.rfile.readline().decode():
            self.wfile.write((self.answers.get(line[4:].rstrip('\n'), '500 not found') + '\n').encode())


class SocketMap(socketserver.StreamRequestHandler):
    answers = {'map user@example.com': 'OK value here', 'map temp': 'TEMP later', 'map perm': 'PERM never', 'map odd': 'HM', 'map': 'OK empty', 'map ok': 'OK ', 'map long': 'OK ' + 'x' * 997,
               'map longer': 'OK ' + 'x' * 300000}

    def handle(self):
        while True:
            head = b''
            while not head.endswith(b':'):
                byte = self.rfile.read(1)
                if not byte:
                    return
                head += byte
            key = self.rfile.read(int(head[:-1]) + 1)[:-1].decode()
            reply = self.answers.get(key, 'NOTFOUND ').encode()
            self.wfile.write(b'%d:%s,' % (len(reply), reply))


@pytest.fixture
def serve(folder):
    made = []

    def start(handler, unix=None):
        kind = socketserver.ThreadingUnixStreamServer if unix else socketserver.ThreadingTCPServer
        kind.daemon_threads, kind.allow_reuse_address = True, True
        server = kind(unix or ('127.0.0.1', free_port()), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made.append(server)
        return server.server_address
    yield start
    for server in made:
        server.shutdown()
        server.server_close()


def test_tcp(tables, postfix_types, serve):
    _, port = serve(TcpTable)
    for key in ('user@example.com', 'nothing', 'a b', 'raw'):
        tables.same(f'tcp:127.0.0.1:{port}', [key])
        tables.same(f'tcp:localhost:{port}', [key])
    for key in ('temp', 'odd', 'bad'):
        done = tables.ask(f'tcp:127.0.0.1:{port}', key)
        assert done.returncode == 1 and 'query error' in done.stderr
    done = tables.ask(f'tcp:127.0.0.1:{free_port()}', 'x')
    assert done.returncode == 1 and 'Connection refused' in done.stderr


def test_socketmap(tables, postfix_types, serve):
    _, port = serve(SocketMap)
    serve(SocketMap, f'{tables.folder}/sock')
    keys = ['user@example.com', 'nothing', 'User@example.com']
    tables.same(f'socketmap:inet:127.0.0.1:{port}:map', keys)
    tables.same(f'socketmap:unix:{tables.folder}/sock:map', keys)
    assert tables.ask('socketmap:unix:sock:map', *keys).stdout.count('\n') == 1  # relative to queue_directory
    for key, why in (('temp', 'TEMP later'), ('perm', 'PERM never'), ('odd', 'unexpected')):
        done = tables.ask(f'socketmap:inet:127.0.0.1:{port}:map', key)
        assert done.returncode == 1 and why in done.stderr


def test_socketmap_max_reply_size(tables, serve):
    _, port = serve(SocketMap)
    name = f'socketmap:inet:127.0.0.1:{port}:map'
    assert len(tables.ask(name, 'long').stdout) == 1003 and 'at most 100000 bytes' in tables.ask(name, 'longer').stderr
    for most, long, longer in ((999, False, False), (1000, True, False), (400000, True, True)):
        tables.write('etc/main.cf', f'compatibility_level = 3.6\nsocketmap_max_reply_size = {most}\n')
        for key, works in (('long', long), ('longer', longer)):
            done = tables.ask(name, key)
            assert done.returncode == (0 if works else 1), (most, key, done)
            assert works or f'at most {most} bytes (see socketmap_max_reply_size)' in done.stderr


def test_silent_server(tables):
    """A server that takes the connection and says nothing costs a bounded time."""
    with socket.create_server(('127.0.0.1', 0)) as s:
        path = tables.write('m.cf', f'memcache = inet:127.0.0.1:{s.getsockname()[1]}\ntimeout = 1\n')
        start = time.monotonic()
        done = tables.ask(f'memcache:{path}', 'x')
        assert done.returncode == 1 and 'no answer in time' in done.stderr and time.monotonic() - start < 10 * SLOW


# Databases.

ROWS = [('user@example.com', 'first@x.org'), ('user@example.com', 'second@x.org'), ('plain', 'local'), ("o'neil@x.org", "it's"), ('back\\slash@x.org', 'bs'),
        ('pro%cent@x.org', 'pc'), ('ünï@example.com', 'uni ü'), ('empty@x.org', ''), ('example.com', 'domain'), ('@example.com', 'catchall'),
        ('"; drop table a; --', 'inject')]
KEYS = ['user@example.com', 'USER@example.com', 'plain', "o'neil@x.org", 'back\\slash@x.org', 'pro%cent@x.org', 'ünï@example.com', 'empty@x.org',
        'nothing@x.org', 'example.com', '@example.com', 'a.b.example.com', 'x@a.b.example.com', '"; drop table a; --', "' OR '1'='1", '%', 'user@', "\\' OR 1=1 --"]
FORMS = [  # what stands in the file beside the server
    "query = SELECT goto FROM a WHERE address = '%s'\n",
    "query = SELECT goto FROM a WHERE address = '%s'\nresult_format = smtp:[%d]\n",
    "query = SELECT goto FROM a WHERE address = '%u@%d'\nresult_format = %u/%S/%U/%D%%\n",
    "query = SELECT goto, address FROM a WHERE address = '%2.%1'\n",
    "query = SELECT goto FROM a WHERE address = '%s' ORDER BY goto\nexpansion_limit = 1\n",
    "query = SELECT goto FROM a WHERE address = '%s'\ndomain = example.com, x.org\n",
    "query = SELECT goto FROM a WHERE address = '%d'\ndomain = inline:{example.com=1}\n",
    "table = a\nselect_field = goto\nwhere_field = address\nadditional_conditions = AND goto <> 'local'\n",
    "query = SELECT NULL FROM a WHERE address = '%s'\n",
]


def sql_rows(escape_backslash):
    def q(text):
        text = text.replace("'", "''")
        return "'" + (text.replace('\\', '\\\\') if escape_backslash else text) + "'"
    return ', '.join(f'({q(a)}, {q(b)})' for a, b in ROWS)


def compare(tables, kind, common, forms, keys):
    """All keys at once, or one by one where an error would hide the others."""
    for i, form in enumerate(forms):
        path = tables.write(f'{kind}{i}.cf', common + form)
        theirs = tables.ask(f'{kind}:{path}', *keys, program=THEIRS)
        if 'query error' not in theirs.stderr:
            ours = tables.ask(f'{kind}:{path}', *keys)
            assert (ours.stdout, ours.returncode) == (theirs.stdout, theirs.returncode), (form, ours.stderr, theirs.stderr)
            continue
        for key in keys:
            ours, theirs = (tables.run(p, '-q', key, f'{kind}:{path}') for p in (OURS, THEIRS))
            assert (ours.stdout, ours.returncode) == (theirs.stdout, theirs.returncode), (form, key, ours.stderr, theirs.stderr)
            assert ('query error' in ours.stderr) == ('query error' in theirs.stderr), (form, key, ours.stderr, theirs.stderr)


def compare_sql(tables, kind, server_lines, keys=KEYS):
    compare(tables, kind, server_lines, FORMS, keys)


@pytest.fixture
def database(folder):
    made = []

    def make(kind, *args, **more):
        if kind.missing():
            pytest.skip(kind.missing())
        made.append(kind(f'{folder}/{kind.__name__}', *args, **more))
        return made[-1]
    yield make
    for server in made:
        server.finish()


def need_peer(kind):
    if not os.path.exists(f'/usr/lib/postfix/postfix-{kind}.so'):
        pytest.skip(f"Debian's Postfix here has no {kind} (apt-get install postfix-{kind})")


def away(tables, kind, path, server):
    """The server goes, and comes back."""
    assert tables.ask(f'{kind}:{path}', KEYS[0]).returncode == 0
    server.finish()
    start = time.monotonic()
    done = tables.ask(f'{kind}:{path}', KEYS[0])
    assert done.returncode == 1 and 'query error' in done.stderr and time.monotonic() - start < 25 * SLOW
    server.start()
    assert tables.ask(f'{kind}:{path}', KEYS[0]).returncode == 0


def test_pgsql(tables, database):
    need_peer('pgsql')
    server = database(databases.PostgreSQL)
    server.sql(f"CREATE TABLE a (address text, goto text); INSERT INTO a VALUES {sql_rows(False)}")
    common = 'user = mail\npassword = x\ndbname = postgres\n'
    compare_sql(tables, 'pgsql', f'hosts = 127.0.0.1:{server.port}\n{common}', [k for k in KEYS if k.isascii()])  # before 3.8 it spoke LATIN1
    utf8 = tables.write('u.cf', f'hosts = 127.0.0.1:{server.port}\n{common}{FORMS[0]}')
    assert tables.ask(f'pgsql:{utf8}', 'ünï@example.com').stdout == 'ünï@example.com\tuni ü\n'
    for hosts in (f'inet:127.0.0.1:{server.port}', f'127.0.0.1:{free_port()} 127.0.0.1:{server.port}', f'unix:{server.folder}/.s.PGSQL.{server.port}',
                  f'postgresql://mail@127.0.0.1:{server.port}/postgres'):
        path = tables.write('h.cf', f'hosts = {hosts}\n{common}{FORMS[0]}')
        assert tables.ask(f'pgsql:{path}', 'plain').stdout == 'plain\tlocal\n'
    bad = tables.write('bad.cf', f'hosts = 127.0.0.1:{server.port}\n{common}query = SELEC %s\n')
    done = tables.ask(f'pgsql:{bad}', 'plain')
    assert done.returncode == 1 and 'syntax error' in done.stderr
    away(tables, 'pgsql', path, server)


def test_mysql(tables, database):
    need_peer('mysql')
    server = database(databases.MariaDB)
    server.sql(f"CREATE DATABASE m CHARACTER SET utf8mb4 COLLATE utf8mb4_bin; USE m; CREATE TABLE a (address varchar(200), goto varchar(200)); "
               f"INSERT INTO a VALUES {sql_rows(True)}; CREATE USER mail@localhost IDENTIFIED BY 'pw'; CREATE USER mail@127.0.0.1 IDENTIFIED BY 'pw'; "
               f"GRANT ALL ON m.* TO mail@localhost; GRANT ALL ON m.* TO mail@127.0.0.1; "
               f"CREATE PROCEDURE p(IN k varchar(200)) READS SQL DATA SELECT goto FROM a WHERE address = k;")
    common = 'user = mail\npassword = pw\ndbname = m\noption_group =\n'
    # before 3.9 Postfix leaves the character set to its client library: MySQL's, of Ubuntu, finds no name beyond ASCII
    library = subprocess.run(['ldd', '/usr/lib/postfix/postfix-mysql.so'], capture_output=True, text=True).stdout
    blind = 'libmysqlclient' in library and postfix.version().startswith(('3.7.', '3.8.'))
    compare_sql(tables, 'mysql', f'hosts = 127.0.0.1:{server.port}\n{common}', [k for k in KEYS if k.isascii() or not blind])
    for hosts in (f'unix:{server.socket}', f'127.0.0.1:{free_port()} 127.0.0.1:{server.port}'):
        path = tables.write('h.cf', f'hosts = {hosts}\n{common}{FORMS[0]}')
        assert tables.ask(f'mysql:{path}', 'plain').stdout == 'plain\tlocal\n'
    call = tables.write('call.cf', f"hosts = unix:{server.socket}\n{common}query = CALL p('%s')\n")
    assert tables.ask(f'mysql:{call}', 'plain', 'no', 'user@example.com').stdout.count('\n') == 2
    away(tables, 'mysql', path, server)


def test_sqlite(tables):
    need_peer('sqlite')
    import sqlite3
    with sqlite3.connect(f'{tables.folder}/a.db') as db:
        db.execute('CREATE TABLE a (address text, goto text)')
        db.executemany('INSERT INTO a VALUES (?, ?)', ROWS)
    db.close()
    compare_sql(tables, 'sqlite', f'dbpath = {tables.folder}/a.db\n')
    path = tables.write('none.cf', f'dbpath = {tables.folder}/none.db\n{FORMS[0]}')
    done = tables.ask(f'sqlite:{path}', 'x')
    assert done.returncode == 1 and 'No such file' in done.stderr


LDIF = '''dn: dc=example,dc=test
objectClass: dcObject
objectClass: organization
dc: example
o: example

dn: uid=ann,dc=example,dc=test
objectClass: inetOrgPerson
uid: ann
cn: Ann
sn: A
mail: ann@example.com
mail: a.nn@example.com
description: ann@inside.test

dn: uid=bob,dc=example,dc=test
objectClass: inetOrgPerson
uid: bob
cn: Bob (the *one*)
sn: B
mail: bob@example.com
description: bob@inside.test
description: bob2@inside.test

dn: cn=team,dc=example,dc=test
objectClass: groupOfNames
cn: team@example.com
member: uid=ann,dc=example,dc=test
member: uid=bob,dc=example,dc=test
description: team@inside.test

dn: cn=all,dc=example,dc=test
objectClass: groupOfNames
cn: all@example.com
member: cn=team,dc=example,dc=test
member: uid=ann,dc=example,dc=test
'''


def test_ldap(tables, database):
    need_peer('ldap')
    server = database(databases.Slapd, LDIF)
    common = f'server_host = ldap://127.0.0.1:{server.port}\nsearch_base = dc=example,dc=test\nversion = 3\n'
    forms = ['query_filter = (mail=%s)\nresult_attribute = description\nbind = no\n',
             'query_filter = (mail=%s)\nresult_attribute = description\nbind_dn = cn=admin,dc=example,dc=test\nbind_pw = secret\nresult_format = <%u> %d\n',
             'query_filter = (|(mail=%s)(cn=%s))\nresult_attribute = description\nspecial_result_attribute = member\n',
             'query_filter = (|(mail=%s)(cn=%s))\nresult_attribute =\nleaf_result_attribute = description\nspecial_result_attribute = member\n',
             'query_filter = (|(mail=%s)(cn=%s))\nresult_attribute =\nterminal_result_attribute = description\nspecial_result_attribute = member\n'
             'leaf_result_attribute = mail\n',
             'query_filter = (|(mail=%s)(cn=%s))\nresult_attribute = mail\nspecial_result_attribute = member\nrecursion_limit = 1\n',
             'query_filter = (uid=%u)\nresult_attribute = mail, description\nexpansion_limit = 2\nscope = one\n',
             'query_filter = (cn=%s)\nresult_attribute = mail\ndomain = example.com\n']
    keys = ['ann@example.com', 'a.nn@example.com', 'bob@example.com', 'team@example.com', 'all@example.com', 'nobody@example.com', 'ann', '*', 'bob (the *one*)',
            '*)(uid=*', 'a\\b@example.com']
    compare(tables, 'ldap', common, forms, keys)
    wrong = tables.write('wrong.cf', common + forms[1].replace('secret', 'wrong'))
    done = tables.ask(f'ldap:{wrong}', 'ann@example.com')
    assert done.returncode == 1 and 'Invalid credentials' in done.stderr
    KEYS[0], saved = 'ann@example.com', KEYS[0]
    try:
        away(tables, 'ldap', f'{tables.folder}/ldap0.cf', server)
    finally:
        KEYS[0] = saved


def test_ldap_by_sasl(tables, database):
    """bind = sasl: PLAIN, SCRAM and DIGEST-MD5 with a name and a password, EXTERNAL over the local socket. Strangers see nothing there."""
    need_peer('ldap')
    people = ''.join(f'authz-regexp "{who}" "{dn}"\n' for who, dn in (
        (r'^uid=([^,]*),.*cn=auth$', 'uid=$1,dc=example,dc=test'),
        (r'^gidNumber=[0-9]+\\+uidNumber=[0-9]+,cn=peercred,cn=external,cn=auth$', 'uid=ann,dc=example,dc=test')))
    ldif = LDIF.replace('uid: ann\n', 'uid: ann\nuserPassword: hunter2\n', 1)
    server = database(databases.Slapd, ldif, before='sasl-secprops none\npassword-hash {CLEARTEXT}\n' + people,
                      after='access to attrs=userPassword by anonymous auth\naccess to * by dn.exact="uid=ann,dc=example,dc=test" read by anonymous auth\n')
    common = 'search_base = dc=example,dc=test\nversion = 3\nquery_filter = (mail=%s)\nresult_attribute = description\nbind = sasl\n'
    tcp, local = f'server_host = ldap://127.0.0.1:{server.port}\n', f'server_host = ldapi://{server.folder.replace("/", "%2F")}%2Fldapi\n'
    keys = ['ann@example.com', 'bob@example.com', 'nobody@example.com']
    password = 'bind_dn = ann\nbind_pw = hunter2\n'
    forms = [tcp + password + f'sasl_mechs = {m}\n' for m in ('PLAIN', 'DIGEST-MD5', 'SCRAM-SHA-256')] + [local + 'sasl_mechs = EXTERNAL\n']
    for n, form in enumerate(forms):
        path = tables.write(f'sasl{n}.cf', common + form)
        done = tables.ask(f'ldap:{path}', *keys)
        assert done.stdout == 'ann@example.com\tann@inside.test\nbob@example.com\tbob@inside.test,bob2@inside.test\n', (form, done)
    tables.write('sasl0.cf', common + forms[1].replace('hunter2', 'wrong'))
    done = tables.ask(f'ldap:{tables.folder}/sasl0.cf', keys[0])
    assert done.returncode == 1 and 'Invalid credentials' in done.stderr, done
    tables.write('sasl0.cf', common + forms[0].replace('PLAIN', 'NO-SUCH'))
    done = tables.ask(f'ldap:{tables.folder}/sasl0.cf', keys[0])
    assert done.returncode == 1 and 'libsasl2 has none of these' in done.stderr, done
    nobody = tables.write('nobody.cf', (common + tcp).replace('= sasl', '= no'))
    assert tables.ask(f'ldap:{nobody}', *keys).stdout == ''


def test_memcache(tables, database):
    server = database(databases.Memcached)
    back = tables.write('back', 'user@example.com stored\n')
    path = tables.write('m.cf', f'memcache = inet:127.0.0.1:{server.port}\nbackup = texthash:{back}\nkey_format = t:%s\nttl = 60\n')
    keys = ['user@example.com', 'none@example.com', 'a b']
    tables.same(f'memcache:{path}', keys)
    tables.write('back', 'other x\n')
    assert tables.ask(f'memcache:{path}', *keys).stdout == 'user@example.com\tstored\n'  # from the cache now
    alone = tables.write('alone.cf', f'memcache = inet:127.0.0.1:{server.port}\nkey_format = t:%s\n')
    tables.same(f'memcache:{alone}', keys)
    server.finish()
    assert tables.ask(f'memcache:{path}', 'other').stdout == 'other\tx\n'  # the backup answers when the cache is away
    assert tables.ask(f'memcache:{alone}', 'other').returncode == 1


# postmap's own work.

def test_postmap_changes_the_text(tables):
    path = tables.write('t', '# head\na 1\nb 2\n\ta\n# of c\nc 3')
    os.chmod(path, 0o640)
    done = tables.run(OURS, '-i', 'hash:t', keys='d 4\nA 9\n')
    assert done.returncode == 0 and 'duplicate entry: "A"' in done.stderr
    assert tables.run(OURS, '-ir', 'hash:t', keys='c 5\n').returncode == 0
    assert tables.run(OURS, '-iw', 'hash:t', keys='c 6\n').stderr == ''
    assert tables.run(OURS, '-d', 'B', 'hash:t').returncode == 0
    assert tables.run(OURS, '-d', 'nobody', 'hash:t').returncode == 1
    assert open(path).read() == '# head\na 1\n# of c\nd 4\nc 5\n' and os.stat(path).st_mode & 0o777 == 0o640
    assert not os.path.exists(path + '.db')


def test_postmap_looks_at_files(tables):
    """-F: the values are names of files (tls_server_sni_maps)."""
    tables.write('sni', f'mx.test {tables.write("key", "k")} nosuch.pem\n')
    done = tables.run(OURS, '-F', 'hash:sni')
    assert (done.returncode, done.stderr) == (0, 'postmap: warning: key mx.test: open nosuch.pem: No such file or directory\n')
    assert tables.run(OURS, 'hash:sni').stderr == ''
    tables.write('twice', 'a 1\nb 2\nA 3\n')
    assert 'twice, line 3: duplicate entry: "a"' in tables.run(OURS, 'hash:twice').stderr
    assert tables.run(OURS, '-w', 'hash:twice').stderr == ''


def test_postmap_exit_codes(tables, postfix_types):
    tables.write('t', 'a 1\n')
    for args in ([], ['-Z'], ['hash:nofile'], ['nosuch:t'], ['-q', 'x', '-d', 'y', 'hash:t'], ['-s', 'static:x'], ['pcre:t'], ['texthash:t'], ['hash:t'],
                 ['t'], ['-N', '-o', '-n', '-p', '-u', '-v', '-w', 'hash:t'], ['-q', 'a', 'hash:t'], ['-q', 'z', 'hash:t'], ['-h', 'hash:t'],
                 ['-q', 'a', 'hash:nofile'], ['-f', '-q', 'a', 'hash:t'], ['-q', 'a', '-q', 'b', 'hash:t'], ['-s', '-s', 'hash:t'],
                 ['-c', '/nosuch', '-q', 'a', 'hash:t'], ['-c', '/nosuch', 'hash:t']):
        ours, theirs = tables.run(OURS, *args), tables.run(THEIRS, *args)
        assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout), (args, ours.stderr, theirs.stderr)


@pytest.mark.parametrize('options', [['-h'], ['-b'], ['-h', '-b'], ['-hm'], ['-bm'], ['-hbm']])
def test_message_keys(tables, postfix_types, options):
    """header_checks and body_checks tried on a message."""
    path = tables.write('p', '/^subject:(.*)$/s got<$1>\n/^to:/ to\n/spam/ body\n/^$/ empty\n/^--/ boundary\n/content-/ mime\n')
    parts = ('Subject: a\nContent-Type: multipart/mixed; boundary=b\n\npreamble\n--b\nContent-Type: text/plain;\n name=x\nTo : y\n\nspam\n--b\n'
             'Content-Type: message/rfc822\n\nSubject: inner\nTo: x\n\nspam spam\n--b\nno header\n--b--\nTo: spam epilogue\n')
    for mail in (parts, parts.replace('multipart', 'text'), 'Subject: one\n two\n\tthree\nTo: x\n\nspam\n\nSubject: in the body\nmore spam', 'To: x\nno header here\nTo: y\n', 'spam first\n', '',
                 'To : odd\nX-spam: y\n\n\n', ' spam\nTo: z\n\nspam\n', 'From ann Mon Jan\nTo: z\n\nspam\n'):
        ours, theirs = (tables.run(p, *options, '-q', '-', f'regexp:{path}', keys=mail) for p in (OURS, THEIRS))
        assert (ours.stdout, ours.returncode) == (theirs.stdout, theirs.returncode), (mail, ours.stderr, theirs.stderr)
