"""Where hostile code tries to get. Each function returns what it heard, or raises what the network said.

Shipped as source into sandboxes and twins: it imports nothing of ours.
"""

import socket
import struct

SECONDS = 1.5


def connect(host: str, port: int) -> str:
    with socket.create_connection((host, port), timeout=SECONDS) as connection:
        return f"connected to {connection.getpeername()[0]}:{port}"


def hear(host: str, port: int, kind: int, said: bytes = b"hello") -> str:
    """An answer from there; UDP says nothing by itself."""
    with socket.socket(socket.AF_INET, kind) as one:
        one.settimeout(SECONDS)
        one.connect((host, port))
        one.send(said)
        heard = one.recv(512)
    if not heard:
        raise ConnectionResetError("no answer")
    return f"{len(heard)} bytes"


def query(name: str) -> bytes:
    """A question for the address of a name, as DNS wants it."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">6H", 0x4321, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)


def kubelet(facts: dict) -> object:
    return connect(facts["node"], 10250)


def api_server(facts: dict) -> object:
    return connect(facts["api"], 443)


def api_server_on_its_node(facts: dict) -> object:
    return connect(facts["api_node"], facts["api_port"])


def metadata(facts: dict) -> object:
    return hear("169.254.169.254", 80, socket.SOCK_STREAM, b"GET / HTTP/1.0\r\n\r\n")


def internet(facts: dict) -> object:
    return hear(facts["internet"], 80, socket.SOCK_STREAM, b"GET / HTTP/1.0\r\n\r\n")


def internet_by_datagrams(facts: dict) -> object:
    return hear(facts["internet"], 5353, socket.SOCK_DGRAM)


def neighbour(facts: dict) -> object:
    return hear(facts["neighbour"], 8080, socket.SOCK_STREAM)


def neighbour_by_datagrams(facts: dict) -> object:
    return hear(facts["neighbour"], 8080, socket.SOCK_DGRAM)


def echo_request(facts: dict) -> object:
    """ICMP carries whatever one likes, and needs no right where datagram sockets of it are open to all."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as one:
        one.settimeout(SECONDS)
        one.sendto(struct.pack(">BBHHH", 8, 0, 0, 0, 1) + b"secret", (facts["neighbour"], 0))
        return f"{len(one.recv(512))} bytes"


def dns_tunnel(facts: dict) -> object:
    """Data leaves as names: the cluster's own resolver would carry it anywhere."""
    return hear(facts["dns"], 53, socket.SOCK_DGRAM, query("kubernetes.default.svc.cluster.local"))


def dns_tunnel_by_tcp(facts: dict) -> object:
    asked = query("kubernetes.default.svc.cluster.local")
    return hear(facts["dns"], 53, socket.SOCK_STREAM, struct.pack(">H", len(asked)) + asked)


def resolve_a_name(facts: dict) -> object:
    """By whatever resolver /etc/resolv.conf names."""
    return socket.getaddrinfo("kubernetes.default.svc.cluster.local", 443)[0][4][0]


def health_of_the_gateway(facts: dict) -> object:
    return connect(facts["gateway_pod"], 8080)


def api_of_citadel(facts: dict) -> object:
    return connect(facts["citadel_api"], 443)


def any_port_of_the_node(facts: dict) -> object:
    """The ports that nodes have open; one is enough."""
    errors = []
    for port in (22, 53, 80, 111, 443, 2379, 4240, 6443, 8472, 9100, 10249, 10250, 10255, 10256):
        with socket.socket() as one:
            one.settimeout(0.3)
            try:
                one.connect((facts["node"], port))
                return f"port {port}"
            except OSError as error:
                errors.append(f"{port} {error}")
    raise OSError("; ".join(errors))


def listen_to_the_world(facts: dict) -> object:
    """Somebody in the test's namespace knocks at this address every 200 ms."""
    with socket.socket() as one:
        one.bind(("0.0.0.0", 9009))
        one.listen()
        one.settimeout(6)
        return f"heard from {one.accept()[1][0]}"
