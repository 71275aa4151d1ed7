"""A small Debian archive for tests: built, signed and served on loopback, with a line that can be cut."""

import base64
import hashlib
import http.server
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

SUITE = "forky"


class SigningKey:
    """An OpenPGP key that can do what an archive's key does: export itself, and sign a file (RFC 4880)."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
        numbers = self._key.public_key().public_numbers()
        self._created = int(time.time()) - 60
        self._body = struct.pack(">BIB", 4, self._created, 1) + _mpi(numbers.n) + _mpi(numbers.e)
        self._framed = b"\x99" + struct.pack(">H", len(self._body)) + self._body
        self._fingerprint = hashlib.sha1(self._framed, usedforsecurity=False).digest()

    def public(self) -> str:
        """The public key with a certified name, armored: what Signed-By points to."""
        name = b"Test archive"
        certified = self._framed + b"\xb4" + struct.pack(">I", len(name)) + name
        packets = _packet(6, self._body) + _packet(13, name) + self._signature(0x13, certified)
        return _armored("PUBLIC KEY BLOCK", packets)

    def sign(self, content: bytes) -> str:
        """A detached signature, armored: Release.gpg."""
        return _armored("SIGNATURE", self._signature(0x00, content))

    def _signature(self, kind: int, content: bytes) -> bytes:
        subpackets = (
            struct.pack(">BBI", 5, 2, self._created)  # made at
            + bytes((22, 33, 4))  # by the key with this fingerprint
            + self._fingerprint
            + bytes((2, 27, 0x03))  # which may certify and sign
        )
        header = bytes((4, kind, 1, 8)) + struct.pack(">H", len(subpackets)) + subpackets
        digest = hashlib.sha256(content + header + b"\x04\xff" + struct.pack(">I", len(header))).digest()
        signature = self._key.sign(digest, padding.PKCS1v15(), Prehashed(SHA256()))
        issuer = bytes((9, 16)) + self._fingerprint[-8:]  # older readers look for the key by its id
        unhashed = struct.pack(">H", len(issuer)) + issuer
        body = header + unhashed + digest[:2] + _mpi(int.from_bytes(signature))
        return _packet(2, body)


def _mpi(number: int) -> bytes:
    return struct.pack(">H", number.bit_length()) + number.to_bytes((number.bit_length() + 7) // 8)


def _packet(tag: int, body: bytes) -> bytes:
    return bytes((0xC0 | tag, 0xFF)) + struct.pack(">I", len(body)) + body


def _armored(what: str, content: bytes) -> str:
    crc = 0xB704CE  # RFC 4880 section 6.1
    for byte in content:
        crc ^= byte << 16
        for _ in range(8):
            crc = (crc << 1) ^ (0x1864CFB if crc & 0x800000 else 0)
    lines = base64.encodebytes(content).decode()
    check = base64.b64encode((crc & 0xFFFFFF).to_bytes(3)).decode()
    return f"-----BEGIN PGP {what}-----\n\n{lines}={check}\n-----END PGP {what}-----\n"


class Archive:
    """dists/ and pool/ below `root`; add packages, then `publish`."""

    def __init__(self, root: Path, key: SigningKey, architecture: str) -> None:
        self.root = root
        self._key = key
        self._architecture = architecture
        self._index: list[str] = []

    def add(self, name: str, version: str = "1.0", depends: str = "", content: bytes = b"") -> Path:
        """Build a package with one file of this content; the .deb is as large."""
        tree = self.root / "build" / name
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "usr/share" / name).mkdir(parents=True)
        (tree / "usr/share" / name / "content").write_bytes(content)
        control = f"Package: {name}\nVersion: {version}\nArchitecture: {self._architecture}\nMaintainer: Test\n"
        control += f"Depends: {depends}\n" if depends else ""
        (tree / "DEBIAN/control").write_text(f"{control}Description: a package\n")
        pool = self.root / "pool"
        pool.mkdir(exist_ok=True)
        deb = pool / f"{name}.deb"
        subprocess.run(["dpkg-deb", "-Znone", "--build", tree, deb], check=True, capture_output=True)
        digest = hashlib.sha256(deb.read_bytes()).hexdigest()
        place = f"Filename: pool/{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n"
        self._index.append(f"{control}{place}Description: a package\n")
        return deb

    def publish(self) -> None:
        """Write the index and sign it."""
        suite = self.root / "dists" / SUITE
        index = suite / f"main/binary-{self._architecture}/Packages"
        index.parent.mkdir(parents=True)
        content = "\n".join(self._index).encode()
        index.write_bytes(content)
        release = (
            f"Origin: Test\nLabel: Test\nSuite: {SUITE}\nCodename: {SUITE}\nDate: {formatdate(usegmt=True)}\n"
            f"Architectures: {self._architecture}\nComponents: main\n"
            f"SHA256:\n {hashlib.sha256(content).hexdigest()} {len(content)} {index.relative_to(suite)}\n"
        ).encode()
        (suite / "Release").write_bytes(release)
        (suite / "Release.gpg").write_text(self._key.sign(release))


class Line:
    """What the server does and saw. Set `cut_after` to let it fall silent in the middle of a package."""

    def __init__(self) -> None:
        self.cut_after: int | None = None
        """Bytes of a package sent before nothing more comes."""
        self.silent = threading.Event()
        self.over = threading.Event()
        self.ranges: list[str] = []
        """Range headers of requests for packages, "" for a whole one."""


@contextmanager
def served(root: Path, line: Line) -> Iterator[str]:
    """Serve `root` by HTTP on loopback; yields the base address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            file = root / self.path.lstrip("/")
            if not file.is_file():
                self.send_error(404)
                return
            content, start = file.read_bytes(), 0
            wanted = self.headers.get("Range", "")
            if file.suffix == ".deb":
                line.ranges.append(wanted)
            if wanted:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(content) - start))
            self.send_header("Last-Modified", formatdate(file.stat().st_mtime, usegmt=True))
            self.end_headers()
            cut = line.cut_after if file.suffix == ".deb" else None
            self.wfile.write(content[start:cut])
            if cut is not None:
                line.silent.set()
                line.over.wait(60)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            line.over.set()
            server.shutdown()
            thread.join(10)
