# SPDX-License-Identifier: Apache-2.0
"""The dialogues of data/imap/FAMILY/NAME.txt, each as it stands and byte by byte. How to write one: lib/imapscript.py."""
import glob, os
import pytest
from around import SLOW, TOP
from hato import Instance
import imapscript

pytestmark = pytest.mark.core
FOLDER = f'{TOP}/tests/data/imap'
FILES = sorted(os.path.relpath(f, FOLDER) for f in glob.glob(FOLDER + '/*/*.txt'))


@pytest.fixture(scope='module')
def servers(tmp_path_factory):
    """of(lines for main.cf): a running instance with them."""
    running = {}

    def of(main):
        if main not in running:
            running[main] = Instance(tmp_path_factory.mktemp('scripts'), main='imapd_tls_security_level = none\n' + main).start()
        return running[main]
    yield of
    problems = [p for instance in running.values() for p in instance.finish()]
    assert not problems, '\n'.join(problems)


@pytest.mark.parametrize('name', FILES)
def test_script(servers, name):
    main, cases = imapscript.read(f'{FOLDER}/{name}')
    failed = []
    for number, case in enumerate(cases):
        for drip in (False, True) if SLOW == 1 else (number % 2 == 1,):  # a sanitized server takes turns
            try:
                imapscript.Play(servers(main), name, case, drip).run()
            except AssertionError as e:
                failed.append(str(e))
                break
    assert not failed, '\n'.join(failed)
