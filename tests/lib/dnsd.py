# SPDX-License-Identifier: Apache-2.0
"""A small DNS server of the tests' own, for what nsd will not serve: names that never answer, CNAME loops, any bytes in TXT,
thousands of records made on the spot. UDP and TCP on one port of loopback."""
import socketserver, threading
import dns.flags, dns.message, dns.name, dns.rcode, dns.rdata, dns.rdataclass, dns.rdatatype, dns.rrset
from around import free_port

TIMEOUT, SERVFAIL = 'TIMEOUT', 'SERVFAIL'


def txt(*strings):
    """TXT data of any bytes; a str stands for its UTF-8; strings longer than 255 bytes are divided."""
    out = b''
    for s in strings or ('',):
        s = s.encode() if isinstance(s, str) else s
        for i in range(0, max(len(s), 1), 255):
            out += bytes([len(s[i:i + 255])]) + s[i:i + 255]
    return dns.rdata.GenericRdata(dns.rdataclass.IN, dns.rdatatype.TXT, out)


def name_of(text):
    """Any bytes but dots in labels; labels that cannot be make no name (None)."""
    try:
        return dns.name.Name([l.encode('latin-1').lower() for l in text.rstrip('.').split('.')] + [b''])
    except (dns.name.LabelTooLong, dns.name.EmptyLabel, dns.name.NameTooLong):
        return None


class Dnsd:
    """records(name, type) -> None: no such name; TIMEOUT; SERVFAIL; or a list of rdata, or of CNAME targets (dns.name.Name).
    name is a lower-case dns.name.Name, type a dns.rdatatype."""
    def __init__(self, records, address='127.0.0.1', port=None, ttl=1):
        self.records, self.address, self.port, self.ttl = records, address, port or free_port(address), ttl
        self.asked = []
        outer = self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self):
                reply = outer.answer(self.request[0], 4096)
                if reply:
                    self.request[1].sendto(reply, self.client_address)

        class Tcp(socketserver.StreamRequestHandler):
            def handle(self):
                while len(size := self.rfile.read(2)) == 2:
                    reply = outer.answer(self.rfile.read(int.from_bytes(size, 'big')), 65535)
                    if not reply:
                        return
                    self.wfile.write(len(reply).to_bytes(2, 'big') + reply)

        class UdpServer(socketserver.ThreadingUDPServer):
            daemon_threads = allow_reuse_address = True

        class TcpServer(socketserver.ThreadingTCPServer):
            daemon_threads = allow_reuse_address = True
        self.servers = [UdpServer((address, self.port), Udp), TcpServer((address, self.port), Tcp)]
        for s in self.servers:
            threading.Thread(target=s.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True).start()

    def answer(self, query, room):
        try:
            q = dns.message.from_wire(query)
            name, kind = q.question[0].name, q.question[0].rdtype
        except Exception:
            return None
        self.asked.append((name, kind))
        r = dns.message.make_response(q, recursion_available=True)
        r.flags |= dns.flags.AA
        for _ in range(12):  # CNAMEs, also endless ones
            found = self.records(dns.name.Name([l.lower() for l in name.labels]), kind)
            if found == TIMEOUT:
                return None
            if found is None or found == SERVFAIL:
                r.set_rcode(dns.rcode.NXDOMAIN if found is None else dns.rcode.SERVFAIL)
                break
            target = next((f for f in found if isinstance(f, dns.name.Name)), None)
            if target is None:
                if found:
                    r.answer.append(dns.rrset.from_rdata_list(name, self.ttl, found))
                break
            r.answer.append(dns.rrset.from_rdata(name, self.ttl, dns.rdata.from_text('IN', 'CNAME', target.to_text())))
            name = target
        if not r.answer:  # how long nothing is nothing: without it resolvers choose themselves
            r.authority.append(dns.rrset.from_text('.', self.ttl, 'IN', 'SOA', f'a.test. b.test. 1 1 1 1 {self.ttl}'))
        try:
            return r.to_wire(max_size=room)
        except dns.exception.TooBig:
            short = dns.message.make_response(q, recursion_available=True)
            short.flags |= dns.flags.TC
            return short.to_wire()

    def stop(self):
        for s in self.servers:
            s.shutdown()
            s.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
