# SPDX-License-Identifier: Apache-2.0
"""The fixtures of the stories. Each gives a function that makes as many of its kind as a story needs, and ends them all."""
import faulthandler, os, shutil, signal, subprocess, sys, tempfile, threading
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), 'lib'))
sys.dont_write_bytecode = True
import around, hato, nsd as nsd_, postfix as postfix_, sink as sink_


def pytest_configure(config):
    config.addinivalue_line('markers', 'core: also run against the sanitized build')
    config.addinivalue_line('markers', 'suite(name, note): a case of a suite from elsewhere; how many passed is told at the end')
    config.addinivalue_line('markers', 'root: needs root (ports 25 and 53 of loopback addresses, mounts)')


STORY_SECONDS = int(os.environ.get('HATO_STORY_SECONDS', '300'))  # the longest takes a quarter of it on a busy machine


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """A story that hangs fails, says where, and does not take the other stories' time."""
    def too_long(*_):
        signal.alarm(30)  # the ends of its fixtures may hang as well
        pytest.fail(f'the story was not over after {STORY_SECONDS} s (HATO_STORY_SECONDS)')
    if threading.current_thread() is not threading.main_thread():  # xdist does so at times: no signals there, and no fine end
        faulthandler.dump_traceback_later(STORY_SECONDS, exit=True)
        yield
        faulthandler.cancel_dump_traceback_later()
        return
    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(STORY_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pytest_runtest_logreport(report):
    """What failed is told at once: a run that is cut short has said it."""
    if report.failed and 'PYTEST_XDIST_WORKER' not in os.environ:
        lines = str(report.longrepr).splitlines()
        print(f'\n--- FAILED after {report.duration:.0f} s: {report.nodeid} ({report.when})', *lines[-25:], sep='\n', flush=True)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker('root') and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason='needs root'))
        for mark in item.iter_markers('suite'):
            item.user_properties.append(('suite', [mark.args[0], None, 1, mark.args[1] if len(mark.args) > 1 else '']))


@pytest.fixture
def counted(record_property):
    """counted(suite, passed, total): for a story that plays a whole suite by itself."""
    return lambda suite, passed, total, note='': record_property('suite', [suite, passed, total, note])


def pytest_terminal_summary(terminalreporter):
    """The suites that came from elsewhere, with their counts (the runner itself counts stories only)."""
    suites = {}
    for report in terminalreporter.getreports('passed') + terminalreporter.getreports('failed'):
        for key, value in report.user_properties if report.when == 'call' else ():
            if key == 'suite':
                name, passed, total, note = value
                told = suites.setdefault(name, [0, 0, note])
                told[0] += report.passed if passed is None else passed
                told[1] += total
    for name, (passed, total, note) in sorted(suites.items()):
        terminalreporter.write_line(f'suite: {name}: {passed} of {total}' + (f'; {note}' if note else ''))


@pytest.fixture
def folder():
    """A folder for this story. Not pytest's tmp_path: other users' processes (Postfix) must get in."""
    path = tempfile.mkdtemp(prefix='hato-story-')
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def hosts(folder, request):
    """make(host=…, main=…, start=True, accounts=[…], **Instance's own): an instance of hato."""
    made = []

    def make(host='mail.example.test', main='', accounts=(), start=True, **more):
        instance = hato.Instance(f'{folder}/hato{len(made)}', host, main, **more)
        made.append(instance)
        for address in accounts:
            instance.account(address)
        return instance.start() if start else instance
    yield make
    problems = []
    for instance in made:
        problems += instance.finish()
        if getattr(request.node, 'rep_call_failed', False):
            print(f'--- log of {instance.host}:\n{instance.log()[-4000:]}')
    assert not problems, '\n'.join(problems)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == 'call':
        item.rep_call_failed = outcome.get_result().failed


@pytest.fixture
def one(hosts):
    """The usual case: one running instance with ann@ and bob@example.test."""
    return hosts(accounts=['ann@example.test', 'bob@example.test'])


@pytest.fixture
def dns(folder):
    """make(records, address=…, port=…): a running nsd."""
    made = []

    def make(records, **more):
        made.append(nsd_.Nsd(f'{folder}/nsd{len(made)}', records, **more))
        return made[-1].start()
    yield make
    for server in made:
        server.stop()


@pytest.fixture
def postfix(folder):
    """make(domain, users=…, address=…): a running Postfix."""
    made = []

    def make(domain, **more):
        made.append(postfix_.Postfix(f'{folder}/postfix{len(made)}', domain, **more))
        return made[-1].start()
    yield make
    for server in made:
        server.stop()


@pytest.fixture
def sink(folder):
    """make(**rules): a scripted SMTP server."""
    made = []

    def make(**rules):
        made.append(sink_.Sink(**rules))
        return made[-1]
    yield make
    for server in made:
        server.stop()


@pytest.fixture
def daemons(folder):
    """start(ready, *command): other people's programs, until the end of the test."""
    started = []

    def start(ready, *command):
        started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=open(f'{folder}/daemons', 'ab'), stderr=subprocess.STDOUT))
        around.wait_until(ready, 60, lambda: open(f'{folder}/daemons', errors='replace').read()[-3000:])
    yield start
    for p in reversed(started):
        around.kill(around.descendants([p.pid]))
        p.wait()
