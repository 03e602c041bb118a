# SPDX-License-Identifier: Apache-2.0
"""What how-tos for Postfix have their readers paste: each loads without a word, or with the one that helps; and leads where it should."""
import os, shutil, subprocess
import pytest
from around import *

FILES = {'sasl_passwd': '[smtp.far.test]:587 u:p\n', 'white_list': '/good/ OK\n', 'rejections': '/^unknown$/ 450 S25R check, be patient\n',
         'bcc': 'a@b.test c@d.test\n', 'header_checks': '/^Received:/ IGNORE\n/^X-Originating-IP:/ IGNORE\n/^User-Agent:/ IGNORE\n',
         'transport': 'example.com smtp:[10.0.0.5]\n* smtp:[relay.test]\n.example.com :\nbad.example discard:\nx.test error:5.1.2 gone\n',
         'virtual': '/^.*-(.*)@d\\.test$/ $1@far.test\n'}
MASTER = '{port} inet n - n - - smtpd\npickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\nsmtp unix - - n - - smtp\n' \
         'relay unix - - n - - smtp\nlmtp unix - - n - - lmtp\nlocal unix - n n - - local\nvirtual unix - n n - - virtual\nerror unix - - n - - error\n' \
         'discard unix - - n - - discard\n'
AMAVIS = 'smtp-amavis unix - - n - 2 smtp -o smtp_data_done_timeout=1200 -o disable_dns_lookups=yes\n127.0.0.1:10025 inet n - n - - smtpd -o content_filter= -o mynetworks=127.0.0.0/8\n'
RELAY = 'smtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = hash:@/sasl_passwd\nsmtp_sasl_security_options = noanonymous\nsmtp_tls_security_level = encrypt\n'
# main.cf, what is warned of, {address: how its way ends}
IDIOMS = {
    'dovecot log-ins': ('smtpd_sasl_type = dovecot\nsmtpd_sasl_path = private/auth\nsmtpd_sasl_auth_enable = yes\n', '', {}),
    'dovecot lmtp': ('virtual_transport = lmtp:unix:private/dovecot-lmtp\nmailbox_transport = lmtp:unix:/var/run/dovecot/lmtp\nvirtual_mailbox_domains = v.test\n'
                     'virtual_mailbox_maps = inline:{a@v.test=x}\n', '', {'a@v.test': 'by lmtp to unix:private/dovecot-lmtp'}),
    'procmail': ('mailbox_command = /usr/bin/procmail -a "$EXTENSION"\n', '', {}),
    'relayhost': ('relayhost = [smtp.far.test]:587\n' + RELAY, '', {'a@other.test': 'by smtp to [smtp.far.test]:587'}),
    'port 465': ('relayhost = [smtp.far.test]:465\n' + RELAY, 'port 465 needs smtp_tls_wrappermode = yes', {}),
    'port 465 wrapped': ('relayhost = [smtp.far.test]:465\nsmtp_tls_wrappermode = yes\n' + RELAY, '', {}),
    'amavis': ('content_filter = smtp-amavis:[127.0.0.1]:10024\n', 'disable_dns_lookups is an old setting: Use smtp_dns_support_level = disabled', {}),
    'milters': ('smtpd_milters = inet:localhost:8891 inet:127.0.0.1:8893 inet:localhost:11332 unix:/run/clamav/x local:opendkim/opendkim.sock\n'
                'non_smtpd_milters = $smtpd_milters\nmilter_default_action = accept\n', '', {}),
    'restrictions': ('smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination, reject_rbl_client zen.spamhaus.org, check_policy_service '
                     'unix:private/policyd-spf, check_policy_service inet:127.0.0.1:10023\n', '', {}),
    's25r': ('smtpd_client_restrictions = permit_mynetworks, check_client_access regexp:@/white_list, check_client_access regexp:@/rejections\n', '', {}),
    'null client': ('mynetworks_style = host\ninet_interfaces = loopback-only\nmydestination =\nlocal_transport = error:local mail delivery is disabled\nrelayhost = [hub.test]\n',
                    '', {'root@mail.example.test': 'by smtp to [hub.test]'}),
    'archive': ('always_bcc = archive@example.test\nsender_bcc_maps = hash:@/bcc\n', '', {}),
    'transport': ('transport_maps = hash:@/transport\n', '', {'x@example.com': 'by smtp to [10.0.0.5]', 'y@sub.example.com': 'by smtp to sub.example.com',
                                                            'z@bad.example': 'by discard', 'q@x.test': '5.1.2 gone', 'o@other.test': 'by smtp to [relay.test]'}),
    'qmail\'s minus': ('virtual_alias_domains = d.test\nvirtual_alias_maps = regexp:@/virtual\n', '', {'ml-toru@d.test': 'delivered: toru@far.test, by smtp to far.test'}),
    'a nameless banner': ('smtpd_banner = ESMTP ready\n', 'smtpd_banner begins with "ESMTP" and not with myhostname, mail.example.test', {}),
    'docker inside': ('mynetworks = 127.0.0.0/8 [::1]/128 172.16.0.0/12 [fe80::]/64\n', 'mynetworks holds 172.16.0.0/12, of which Docker makes its networks', {}),
    'header checks': ('header_checks = regexp:@/header_checks\n', '', {}),
}


@pytest.mark.parametrize('name', IDIOMS)
def test_as_pasted(folder, name):
    main, warned, ways = IDIOMS[name]
    for file, content in dict(FILES, **{'main.cf': 'compatibility_level = 3.6\nmyhostname = mail.example.test\n' + main.replace('@/', f'{folder}/'),
                                        'master.cf': MASTER.format(port=free_port()) + (AMAVIS if name == 'amavis' else '')}).items():
        with open(f'{folder}/{file}', 'w') as f:
            f.write(content)
        os.chmod(f'{folder}/{file}', 0o600 if file == 'sasl_passwd' else 0o644)

    def hato(*words):
        return subprocess.run([HATO, '-c', str(folder), *words], capture_output=True, text=True, timeout=60 * SLOW)
    checked = hato('check')
    words = [l for l in (checked.stderr + checked.stdout).split('\n') if ('warning' in l or 'error' in l or 'no effect' in l) and 'no certificate' not in l and 'the configuration is good' not in l]
    assert checked.returncode == 0 and (len(words) == 1 and warned in words[0] if warned else words == []), words
    for address, end in ways.items():
        way = hato('route', address)
        assert end in way.stdout, way.stdout + way.stderr
