# SPDX-License-Identifier: Apache-2.0
"""postconf beside Debian's own: the same files, the same options, the same lines. What differs stands here with its reason."""
import glob, json, os, re, shutil, subprocess, threading
import pytest
import postfix as postfix_
from around import *

POSTCONF = os.path.join(os.path.dirname(HATO), 'postconf')
DEBIANS = '/usr/sbin/postconf'
FOLDERS = sorted(glob.glob(f'{TOP}/tests/data/main.cf/[0-9]*'))
beside = postfix_.to_the_letter


def run(program, *args, **more):
    done = subprocess.run(['postconf', *args], executable=program, capture_output=True, text=True, timeout=60, **more)
    return done.returncode, done.stdout, sorted(done.stderr.splitlines())


def table(text):
    return dict(line.split(' =', 1) if ' =' in line else (line, '') for line in text.splitlines())


def ours(*args):
    code, out, err = run(POSTCONF, *args)
    assert code == 0, err
    return out


# Defaults. Debian's is Postfix 3.7, hato speaks as 3.11 (compat D1).

NEWER = 'Postfix 3.8 to 3.11 changed this default'
OWN = 'a promise of hato: encrypted and authenticated by default, no open door'
NAME = 'names of this program, and where it keeps things'
BUILD = 'how Debian built Postfix; hato has no such folders'
OTHER_DEFAULTS = {
    'address_verify_map': NEWER, 'alias_database': NEWER, 'alias_maps': NEWER, 'import_environment': NEWER,
    'milter_default_action': NEWER, 'postscreen_cache_map': NEWER, 'proxy_read_maps': NEWER, 'smtpd_forbid_bare_newline': NEWER,
    'smtpd_forbid_unauth_pipelining': NEWER, 'tls_eecdh_auto_curves': NEWER,
    'tls_export_cipherlist': NEWER, 'tls_high_cipherlist': NEWER, 'tls_low_cipherlist': NEWER, 'tls_medium_cipherlist': NEWER,
    'tls_null_cipherlist': NEWER, 'tlsproxy_client_policy_maps': NEWER, 'tlsproxy_client_security_level': NEWER,
    'mail_release_date': NEWER, 'mail_version': NEWER,
    'disable_vrfy_command': OWN, 'mynetworks': OWN, 'mynetworks_style': OWN, 'smtp_tls_security_level': OWN, 'smtp_use_tls': OWN,
    'smtpd_relay_restrictions': OWN, 'smtpd_tls_auth_only': OWN, 'smtpd_tls_mandatory_protocols': OWN, 'smtpd_tls_protocols': OWN,
    'smtpd_tls_security_level': OWN, 'smtpd_use_tls': OWN,
    'config_directory': NAME, 'data_directory': NAME, 'mail_name': NAME, 'mail_owner': NAME, 'process_id': NAME, 'process_name': NAME,
    'syslog_name': NAME,
    'html_directory': BUILD, 'readme_directory': BUILD,
}
NOT_IN_311 = {'tls_legacy_public_key_fingerprints': 'gone after Postfix 3.8'}
NEW_IN_311 = '''allow_srv_lookup_fallback default_cache_db_type force_mime_input_conversion full_name_encoding_charset ignore_srv_lookup_error
    lmtp_log_tls_feature_status lmtp_requiretls_policy lmtp_sasl_password_result_delimiter lmtp_tls_enable_rpk
    lmtp_tls_enforce_sts_mx_patterns lmtp_tlsrpt_enable lmtp_tlsrpt_skip_reused_handshakes lmtp_tlsrpt_socket_name
    maillog_file_permissions non_bdb_custom_mapping non_bdb_migration_allow_root_prefixes non_bdb_migration_allow_user_prefixes
    non_bdb_migration_level non_bdb_migration_log_redirect non_bdb_migration_service_name non_empty_end_of_header_action
    relocated_prefix_enable requiretls_enable requiretls_esmtp_header requiretls_redact_dsn smtp_log_tls_feature_status
    smtp_requiretls_policy smtp_sasl_password_result_delimiter smtp_tls_enable_rpk smtp_tls_enforce_sts_mx_patterns smtp_tlsrpt_enable
    smtp_tlsrpt_skip_reused_handshakes smtp_tlsrpt_socket_name smtpd_client_ipv4_prefix_length smtpd_client_ipv6_prefix_length
    smtpd_hide_client_session smtpd_reject_filter_maps smtpd_tls_enable_rpk socketmap_max_reply_size tls_ffdhe_auto_groups
    tls_required_enable tlsproxy_tls_enable_rpk use_srv_lookup'''.split()
OURS = '''blob_inline_limit core_worker_limit dns_resolvers dns_trust_anchor_file edge_worker_limit history_lifetime
    imapd_connection_limit_per_user imapd_idle_timeout imapd_login_timeout imapd_tls_security_level imapd_tls_wrappermode log_format
    log_level relay_worker_limit'''.split()


@beside
def test_defaults(folder):
    shutil.copy(FOLDERS[8] + '/master.cf', folder)
    open(folder + '/main.cf', 'w').close()
    mine, debians = table(ours('-c', folder, '-d')), table(run(DEBIANS, '-c', folder, '-d')[1])
    assert len(debians) > 800 and any(name.startswith('smtp-amavis_') for name in debians)
    missing = set(debians) - set(mine)
    assert missing == set(NOT_IN_311), sorted(missing ^ set(NOT_IN_311))
    for name in NOT_IN_311:  # known all the same when it is set
        assert name in open(f'{TOP}/src/conf/settings.def').read()
    more = set(mine) - set(debians) - set(NEW_IN_311)
    assert set(OURS) <= more, 'no longer there: ' + ' '.join(sorted(set(OURS) - more))
    assert not set(NEW_IN_311) - set(mine)
    other = {name for name in debians if name in mine and mine[name] != debians[name]}
    assert other == set(OTHER_DEFAULTS), f'not listed: {sorted(other - set(OTHER_DEFAULTS))}; listed for nothing: {sorted(set(OTHER_DEFAULTS) - other)}'


# What files say.

# Settings whose expanded text holds a default that differs (above), or a fact of the program that shows it.
OTHER_EXPANDED = {
    'smtpd_banner': 'mail_name', 'smtp_tls_session_cache_database': 'data_directory', 'smtpd_tls_session_cache_database': 'data_directory',
    'postscreen_cache_map': 'data_directory', 'local_recipient_maps': 'alias_maps', 'proxy_read_maps': 'alias_maps',
    'debugger_command': 'process_name and process_id',
}
# Warnings of one side only.
OUR_WARNINGS = re.compile(r'will be removed; instead, specify')  # 3.11 has them, 3.7 has not
DEBIANS_WARNINGS = re.compile(r'open "mysql" configuration')      # postconf of Postfix looks into the files of SQL tables for $names


# Names in the files that nothing uses: neither side shows them.
UNUSED = {'forgotten', 'smtpd_recipent_limit', 'unused_of_mine', 'nosuch_destination_concurrency_limit', 'slow_time_limit'}


@beside
@pytest.mark.parametrize('path', FOLDERS, ids=[os.path.basename(p) for p in FOLDERS])
def test_files(path):
    for options in ('-n', '-nf', '-nh', '-nH', '-M', '-Mf', '-Mx', '-F', '-Ff', '-Fh', '-P', '-Ph', '-Px', '-Cuser', '-Cservice'):
        mine, debians = run(POSTCONF, '-c', path, options), run(DEBIANS, '-c', path, options)
        if options == '-Fh':  # Postfix loses a blank there
            debians = debians[0], debians[1].replace('pipeflags=', 'pipe flags='), debians[2]
        assert mine[:2] == debians[:2], options
        assert [w for w in mine[2] if not OUR_WARNINGS.search(w)] == [w for w in debians[2] if not DEBIANS_WARNINGS.search(w)], options
    names = re.findall(r'^(\w+) ?=', open(path + '/main.cf').read(), re.M)
    assert set(names) - set(table(ours('-c', path, '-n'))) <= UNUSED, 'every name of the file is shown'
    mine, debians = table(ours('-c', path, '-nx')), table(run(DEBIANS, '-c', path, '-nx')[1])
    other = {name for name in mine if mine[name] != debians.get(name)}
    assert set(mine) == set(debians) and other <= set(OTHER_EXPANDED), {name: (mine[name], debians.get(name)) for name in other - set(OTHER_EXPANDED)}


@beside
def test_ports_that_nobody_knows(folder):
    """master.cf is shown as it is written, also where a name means no port here."""
    with open(folder + '/main.cf', 'w') as f:
        f.write('compatibility_level = 3.6\nmyhostname = h.example.test\n')
    with open(folder + '/master.cf', 'w') as f:
        f.write('smtp inet n - n - - smtpd\nnosuchport inet n - n - - smtpd\n  -o a=b\n192.0.2.1:nosuch inet n - n - - smtpd\n0 inet n - n - - smtpd\n')
    for options in ('-M', '-F', '-P'):
        assert run(POSTCONF, '-c', folder, options)[:2] == run(DEBIANS, '-c', folder, options)[:2], options


LEVELS = {  # compat.md 2.1: from this level on, before it
    'append_dot_mydomain': ('1', 'no', 'yes'), 'smtputf8_enable': ('1', 'yes', 'no'), 'relay_domains': ('2', '', '$mydestination'),
    'smtpd_relay_before_recipient_restrictions': ('3.6', 'yes', 'no'), 'smtpd_tls_fingerprint_digest': ('3.6', 'sha256', 'md5'),
    'smtp_tls_fingerprint_digest': ('3.6', 'sha256', 'md5'), 'lmtp_tls_fingerprint_digest': ('3.6', 'sha256', 'md5'),
    'respectful_logging': ('3.6', 'yes', 'no'), 'smtp_tlsrpt_skip_reused_handshakes': ('3.11', 'no', 'yes'),
}


@pytest.mark.parametrize('level', ['0', '1', '2', '3.6', '3.11'])
def test_defaults_by_level(folder, level):
    with open(folder + '/main.cf', 'w') as f:
        f.write(f'compatibility_level = {level}\nmyhostname = h.example.test\nmydestination = x.test\n')
    mine = table(ours('-c', folder, '-x', *LEVELS))

    def number(text):
        return [int(n) for n in text.split('.')]
    for name, (since, new, old) in LEVELS.items():
        wanted = new if number(level) >= number(since) else old
        assert mine[name].strip() == wanted.replace('$mydestination', 'x.test'), name
    if postfix_.version().startswith('3.7.') and level != '3.11':
        debians = table(run(DEBIANS, '-c', folder, '-x', *LEVELS)[1])
        assert {n: mine[n] for n in debians} == debians


# Every setting that acts, with a value that is not its default.

def other_value(kind, default):
    kind, _, arguments = kind.rstrip(')').partition('(')
    if kind == 'BOOL':
        return 'no' if default == 'yes' else 'yes'
    if kind == 'NUMBER':
        least, most = (int(n) if n.strip().isdigit() else 10 ** 6 for n in arguments.split(','))
        return str(next(n for n in (451, 71, 7, least, least + 1, most) if least <= n <= most and str(n) != default))
    return {'TIME': '77s', 'SIZE': '70001', 'DOMAINS': 'one.test, .two.test', 'NETWORKS': '192.0.2.0/24, [2001:db8::]/32', 'LEVEL': '3.5',
            'LIST': 'static:{one two}, static:three', 'TEXT': 'some words', 'RAW': 'some $$words', 'ORIGIN': 'origin.test'}[kind]


def settings_that_act():
    text = ''.join(open(f'{TOP}/src/conf/{f}', encoding='utf-8').read() for f in ('settings.def', 'settings_more.def'))
    header = open(f'{TOP}/src/conf/setting.h', encoding='utf-8').read().replace('\\\n', ' ')
    lists = {n: re.findall(r'W\(\w+, "([^"]*)"\)', w) for n, w in re.findall(r'#define (\w+_WORDS)\(W\)(.*)', header)}
    words = {n: lists[w] for n, w in re.findall(r'SET\( *(\w+), (\w+_WORDS)\)', re.sub(r'\s+', ' ', header))}
    made = {}
    for name, kind, default in re.findall(r'^SETTING\(ACTED, (\w+), (\w+(?:\([^)]*\))?), ("(?:[^"\\]|\\.)*"|NULL),', text, re.M):
        if kind.startswith('WORDS'):
            made[name] = next(w for w in words[kind[6:-1]] if w and w != default.strip('"'))
        else:
            made[name] = other_value(kind, default.strip('"'))
    return made


# What a value of any words is no value of.
MADE_FOR = {'inet_interfaces': '127.0.0.9', 'inet_protocols': 'ipv4', 'myhostname': 'h.origin.test', 'mydomain': 'origin.test'}


def test_every_setting_is_read_and_shown(folder):
    """Each alone is no error, and both postconfs show all of them alike."""
    values = {**settings_that_act(), **MADE_FOR}
    assert len(values) > 750
    shutil.copy(FOLDERS[1] + '/master.cf', folder)
    with open(folder + '/main.cf', 'w') as f:
        f.writelines(f'{name} = {value}\n' for name, value in values.items())
    done = subprocess.run([HATO, '-c', folder, 'check'], capture_output=True, text=True, timeout=60)
    wrong = [l for l in done.stderr.splitlines() if re.search('unused parameter|not acted on|bad (boolean|numerical|string)|overriding', l)]
    assert not wrong, '\n'.join(wrong)
    mine = table(ours('-c', folder, '-n'))
    assert {n: mine.get(n, '').strip() for n in values} == values
    if os.path.exists(DEBIANS) and postfix_.version().startswith('3.7.'):
        debians = table(run(DEBIANS, '-c', folder, '-n')[1])
        assert {n for n in debians if debians[n] != mine.get(n)} == set()
        shown = table(run(DEBIANS, '-c', folder, '-nx')[1])
        expanded = table(ours('-c', folder, '-nx'))
        assert {n: (shown[n], expanded.get(n)) for n in shown if shown[n] != expanded.get(n)} == {}


def test_enough_files():
    assert len(FOLDERS) >= 20


@beside
@pytest.mark.parametrize('args', ['-M smtp', '-M nosuch', '-M nosuch/inet', '-M */unix', '-M a/b/c', '-F mailman', '-F smtp/inet/command',
                                  '-F smtp/inet/nosuch', '-P submission/inet/syslog_name', '-P nosuch/inet/x', '-P smtp/inet/nosuch', '-PH submission',
                                  '-n mydestination foo', '-h mydestination', '-x smtpd_timeout', '-o stress=1 -x smtpd_timeout', '-d smtpd_timeout',
                                  '-dx smtpd_timeout', '-f notify_classes', '-X', '-#', '-e', '-e foo', '-C foo', 'foo=bar baz', 'foo', '-l', '-a', '-A',
                                  '-T compile-version', '-T foo', 'bar', 'greylist', '-C builtin,user -n', '-h -H foo', '-b a b'])
def test_requests(args):
    for path in (FOLDERS[4], FOLDERS[19]):
        mine, debians = run(POSTCONF, '-c', path, *args.split()), run(DEBIANS, '-c', path, *args.split())
        if args.startswith('-T c'):
            assert mine[1].startswith('OpenSSL ')
        else:
            keep = [w for w in mine[2] if not OUR_WARNINGS.search(w)]
            assert (mine[:2], keep) == (debians[:2], [re.sub(r'one of (-\w) (-\w)$', r'one of \1, \2', w) for w in debians[2]]), path  # 3.11's comma


# Editing: the same file, byte for byte.

EDITS = ['-e mynetworks=10.0.0.0/8', 'relayhost=[c.example]', '-e new_one=1 another=2', '-# smtpd_banner', '-X forgotten relayhost', '-e a=b=c',
         '-e unknown_local_recipient_reject_code=550 notify_classes=', '-# smtpd_recipient_restrictions', '-X smtpd_recipient_restrictions', '-e x=$y',
         '-X nosuch', '-M# smtp/inet', '-MX smtp/unix', '-MX */inet', '-M# nosuch/unix', '-F smtp/inet/chroot=n', '-F */unix/chroot=n',
         '-F smtp/unix/wakeup=5', '-P submission/inet/syslog_name=other', '-P submission/inet/new=1', '-PX submission/inet/syslog_name',
         '-PX submission/inet/smtpd_client_restrictions submission/inet/nosuch', '-P nosuch/inet/a=b', '-F nosuch/inet/chroot=n', '-M smtp/inet',
         '-M smtp', '-MX smtp', '-P smtp/inet=1', '-X a=b', '-e =x', '-# #', '-FX smtp/inet/chroot', '-P# smtp/inet/chroot']
ENTRIES = [['-M', 'smtp/inet=smtp inet n - n - 7 smtpd -o a=b'], ['-M', 'new/unix=new unix - - n - - pipe flags=R user=nobody argv=/bin/cat -v {a b}'],
           ['-M', 'smtp/inet=other inet n - n - - smtpd'], ['-M', 'x/unix=x unix - -'], ['-F', 'smtp/unix/command=smtp -o c=d -v'], ['-e', 'a=b\nc=d'],
           ['-P', 'smtp/inet/x={ a b }'], ['-e', 'smtpd_banner = $myhostname  ESMTP'], ['-M', 'submission/inet=submission inet n - n - - smtpd', 'smtp/unix=smtp unix - - n - - smtp'],
           ['-F', 'smtp/inet/private=a b'], ['-e', 'relayhost=1', 'relayhost=2'], ['-e', '  spaced   =   out  ']]


@beside
@pytest.mark.parametrize('args', [e.split() for e in EDITS] + ENTRIES, ids=' '.join)
def test_edits(folder, args):
    for path in (FOLDERS[4], FOLDERS[19]):
        results = []
        for program in (POSTCONF, DEBIANS):
            for name in ('main.cf', 'master.cf'):
                shutil.copy(f'{path}/{name}', folder)
            code, out, err = run(program, '-c', folder, *args)
            left = {name: open(f'{folder}/{name}').read() for name in ('main.cf', 'master.cf')}
            if args[0] == '-e' and len(args) == 3:  # 3.7 appends new names in no order, 3.11 by name
                left['main.cf'] = sorted(left['main.cf'].splitlines())
            assert sorted(os.listdir(folder)) == ['main.cf', 'master.cf'] or program == DEBIANS
            if '-M' in args:  # Postfix reads main.cf twice here, and complains about its second reading, too
                err = sorted(set(w for w in err if 'overriding earlier entry' not in w))
            results.append((code, out, [w for w in err if not OUR_WARNINGS.search(w)], left))
            for name in set(os.listdir(folder)) - {'main.cf', 'master.cf'}:
                os.unlink(f'{folder}/{name}')
        mine, debians = results
        assert mine[3] == debians[3]
        assert mine[:2] == debians[:2], (mine[2], debians[2])
        assert mine[2] == [w.replace('one of -e -X', 'one of -e, -X') for w in debians[2]]  # 3.11 has the comma


def test_edit_keeps_the_file(folder):
    """Mode and comments stay; nobody sees half a file; many at once lose nothing."""
    shutil.copy(FOLDERS[1] + '/main.cf', folder)
    os.chmod(folder + '/main.cf', 0o640)
    before = open(folder + '/main.cf').read()
    assert run(POSTCONF, '-c', folder, '-e', 'relayhost = [x.example]:587')[0] == 0
    after = open(folder + '/main.cf').read()
    assert after == before.replace('relayhost =\n', 'relayhost = [x.example]:587\n')
    assert os.stat(folder + '/main.cf').st_mode & 0o777 == 0o640
    threads = [threading.Thread(target=run, args=(POSTCONF, '-c', folder, '-e', f'many_{i} = {i}')) for i in range(20)]
    [t.start() for t in threads], [t.join() for t in threads]
    text = open(folder + '/main.cf').read()
    assert all(f'\nmany_{i} = {i}\n' in text for i in range(20)) and os.listdir(folder) == ['main.cf']


def test_an_empty_field_is_refused(folder):
    """Postfix writes an entry that it cannot read again."""
    shutil.copy(FOLDERS[0] + '/master.cf', folder)
    assert run(POSTCONF, '-c', folder, '-F', 'smtp/inet/chroot=')[0] == 1
    assert open(folder + '/master.cf').read() == open(FOLDERS[0] + '/master.cf').read()


@pytest.mark.parametrize('args, field', [
    (['-F', 'smtp/unix/process_limit=many'], 'process_limit field "many"'), (['-F', 'smtp/unix/wakeup=x?'], 'wakeup field "x?"'),
    (['-F', 'smtp/unix/private=maybe'], 'private field "maybe"'), (['-F', 'smtp/unix/type=tcp'], 'type field "tcp"'),
    (['-Me', 'x/inet=x inet q - - - - z'], 'private field "q"'), (['-Me', 'x/unix=x unix - - - ? - z'], 'wakeup field "?"')])
def test_a_field_no_server_would_start_with(folder, args, field):
    with open(folder + '/master.cf', 'w') as f:
        f.write('smtp unix - - n - - smtp\n')
    open(folder + '/main.cf', 'w').close()
    done = subprocess.run([HATO, 'postconf', '-c', folder, *args], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith(f'postconf: fatal: invalid {field} in "'), done.stderr
    assert open(folder + '/master.cf').read() == 'smtp unix - - n - - smtp\n'
    good = subprocess.run([HATO, 'postconf', '-c', folder, '-F', 'smtp/unix/process_limit=5', 'smtp/unix/wakeup=60?'], capture_output=True, text=True)
    assert (good.returncode, good.stderr) == (0, '')
    shown = subprocess.run([HATO, 'postconf', '-c', folder, 'a', 'b=c'], capture_output=True, text=True)  # the first word says what is meant
    assert (shown.returncode, shown.stderr) == (0, 'postconf: warning: a: unknown parameter\npostconf: warning: b=c: unknown parameter\n')


def test_no_file(folder):
    assert run(POSTCONF, '-c', folder, '-n') == (1, '', [f'postconf: fatal: open {folder}/main.cf: No such file or directory'])
    assert run(POSTCONF, '-c', folder + '/none', '-e', 'a=b')[0] == 1
    assert run(POSTCONF, '-c', folder, '-e', 'a=b')[0] == 1 and os.listdir(folder) == []


def test_json(folder):
    shutil.copy(FOLDERS[4] + '/main.cf', folder), shutil.copy(FOLDERS[4] + '/master.cf', folder)
    with open(folder + '/main.cf', 'a') as f:
        f.write('smtpd_banner = a "b" \\ \x01\n')
    lines = [json.loads(line) for line in ours('-c', folder, '-jn').splitlines()]
    assert {'smtpd_banner': 'a "b" \\ \x01'} in lines and all(len(line) == 1 for line in lines)
    assert {'smtp/inet': 'smtp inet n - y - - smtpd'} in [json.loads(line) for line in ours('-c', folder, '-jM').splitlines()]
    assert {'smtps/inet/smtpd_relay_restrictions': 'permit_sasl_authenticated, reject'} in [json.loads(line) for line in ours('-c', folder, '-jP').splitlines()]


def test_table_types():
    types = ours('-m').split()
    assert types == sorted(types) and {'cidr', 'hash', 'inline', 'pcre', 'regexp', 'static', 'texthash', 'unix'} <= set(types)


# The words of notices.

TEMPLATES = [None, '', '# c\nfailure_template = <<EOF\nCharset: us-ascii\nFrom: MAILER-DAEMON (Mail Sys)\nSubject: No\n\nHost $myhostname $$ '
             '${delay_warning_time_minutes} $maximal_queue_lifetime_days $delay_warning_time_hours\n\n  x\nEOF\n'
             'delay_template = <<END\nSubject: Late\nPostmaster-Subject: P\n\nlate\nEND\nsuccess_template = <<EOF\nPost-X: 1\n\ny\nEOF\nfoo_template = <<EOF\n\nz\nEOF\n']


def templates(text):
    return dict(re.findall(r'^(\w+) = <<EOF\n(.*?)^EOF\n', text, re.M | re.S))


@beside
@pytest.mark.parametrize('text', TEMPLATES, ids=['built-in', 'empty', 'own'])
def test_templates(folder, text):
    with open(folder + '/main.cf', 'w') as f:
        f.write('compatibility_level = 3.6\nmyhostname = mx.example.com\ndelay_warning_time = 4h\n' + (f'bounce_template_file = {folder}/b.cf\n' if text else ''))
    open(folder + '/master.cf', 'w').close()
    with open(folder + '/b.cf', 'w') as f:
        f.write(text or '')
    for option in ('-b', '-t'):
        args = ['-c', folder, option] + ([''] if text == '' else [])
        mine, debians = templates(ours(*args)), templates(run(DEBIANS, *args)[1])
        assert list(mine) == list(debians) and len(mine) == 4
        if text:
            for kind in ('failure', 'delay'):
                name = [n for n in mine if kind in n][0]
                assert mine[name] == debians[name]
        else:  # the words are our own; the forms are theirs
            for name in mine:
                assert 'This is the mail system at host ' in mine[name] and re.findall(r'^[A-Z]\S*:', mine[name], re.M) == re.findall(r'^[A-Z]\S*:', debians[name], re.M)
    if text:
        warnings = run(POSTCONF, '-c', folder, '-b')[2]
        assert any('line 19' in w or 'Post-X' in w for w in warnings) and any('unknown template name: foo_template' in w for w in warnings)


# Bad input: a clear word, and nothing worse.

@pytest.mark.parametrize('main, said', [
    ('smtpd_banner = $x\nx = $y\ny = $x\n', 'unreasonable macro call nesting'),
    ('smtpd_banner = ${x\n', 'truncated macro reference'),
    ('smtpd_banner = ${{a} <level {1} ? {b}}\n', 'malformed compatibility level syntax'),
    ('foo bar\n', 'line 1: missing \'=\' after attribute name: "foo bar"'),
    ('= x\n', 'line 1: missing attribute name'),
    ('a = ' + 'x' * 10_000_000 + '\n', 'line 1: logical line of 10000004 bytes'),
    ('a = x\n' + ' y' * 10 + (' ' + 'z' * 79 + '\n') * 131_072, 'line 1: logical line of 10'),
], ids=range(7))
def test_bad_files(folder, main, said):
    with open(folder + '/main.cf', 'w') as f:
        f.write(main)
    open(folder + '/master.cf', 'w').close()
    code, out, err = run(POSTCONF, '-c', folder, '-x', 'smtpd_banner')
    assert code == 1 and any(said in line for line in err), (code, err)
    assert all(len(line) < 2000 for line in err)
    done = subprocess.run([HATO, '-c', folder, 'check'], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and said in done.stderr
