"""Runs inside an environment: which of its shared objects do not find a library. Standard library only, Python 3.8+.

    python -I -S shared_objects.py ROOT...

Writes one line of JSON, in ASCII, to standard output; may be read from standard input. Nothing is loaded: headers are
read (https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html), and libraries are looked for where ld.so(8) or
musl's loader would. What cannot be known from files is taken for well:

- A library that any package of the environment brings counts as found wherever it lies. torch, for one, opens
  NVIDIA's libraries by their paths before it opens its own, and the loader then takes what is already there.
- Whether a library has the symbols, in the versions, that are wanted of it is not looked at.
"""

# Importing pathlib costs as much as all of this does:
# ruff: noqa: PTH100, PTH110, PTH112, PTH118, PTH119, PTH120, PTH123, PTH207, PTH208

from __future__ import annotations

import json
import os
import stat
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    #: Class (1: 32 bit, 2: 64 bit), byte order (1: little, 2: big) and machine: what one loader takes.
    Kind = tuple[int, int, int]
    #: Bytes from an offset; fewer than asked for where the file ends.
    Read = Callable[[int, int], bytes]

# A hostile file may claim what it likes. These are far above what linkers write.
_MOST_HEADERS = 512
_MOST_DYNAMIC_BYTES = 128 * 1024
_MOST_NEEDED = 512
_MOST_NEEDED_TEXT = 32 * 1024
_MOST_FOLDERS = 256
_MOST_LISTED = 20_000
_LONGEST_NAME = 1024
_LONGEST_PATH = 64 * 1024
_LARGEST_CACHE = 64 * 1024 * 1024
_LARGEST_RECORD = 64 * 1024 * 1024
_HIGHEST_OFFSET = 2**62
#: Rows of the answer, and bytes of a name in it.
_MOST_ROWS = 2000
_SHOWN_NAME = 300

_SHARED = 3
_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3
_NEEDED, _STRINGS, _STRINGS_SIZE, _SONAME, _RPATH, _RUNPATH = 1, 5, 10, 14, 15, 29

#: What musl's loader takes for itself (ldso/dynlink.c, load_library).
_OF_MUSL = ("libc.", "libpthread.", "librt.", "libm.", "libdl.", "libutil.", "libxnet.")


# One file ----------------------------------------------------------------------------------------------------------


class MalformedError(ValueError):
    """An ELF file that no loader takes."""


class Object:
    """What a file's headers say."""

    __slots__ = ("interpreter", "kind", "needed", "rpath", "runpath", "shared", "soname")

    def __init__(self, kind: Kind, *, shared: bool) -> None:
        self.kind = kind
        self.shared = shared
        self.needed: list[str] = []
        self.soname = ""
        self.rpath: list[str] = []
        self.runpath: list[str] = []
        self.interpreter = ""


def parse(read: Read) -> Object | None:
    """What an ELF file says; ``None`` for any other file. :class:`MalformedError` where it makes no sense."""
    head = read(0, 64)
    if head[:4] != b"\x7fELF":
        return None
    kind = _kind(head)
    if kind is None:
        raise MalformedError("no class, byte order or machine")
    form = _Form(kind)
    if len(head) < 16 + struct.calcsize(form.header):
        raise MalformedError("the header is cut off")
    values = struct.unpack_from(form.header, head, 16)
    found = Object(kind, shared=values[0] == _SHARED)
    loads, dynamic = [], None
    for what, at, address, length in _segments(read, form, *(values[index] for index in (4, 8, 9))):
        if what == _LOAD:
            loads.append((address, length, at))
        elif what == _DYNAMIC:
            dynamic = at, length
        elif what == _INTERPRETER:
            found.interpreter = _text(read, at, min(length, _LONGEST_NAME))
    if dynamic is not None:
        _read_names(found, _Strings(read, _entries(read, form, *dynamic), loads))
    return found


def _kind(head: bytes) -> Kind | None:
    if len(head) < 20 or head[4] not in (1, 2) or head[5] not in (1, 2):
        return None
    return head[4], head[5], struct.unpack_from("<H" if head[5] == 1 else ">H", head, 18)[0]


class _Form:
    """How the records of one class and byte order are laid out."""

    def __init__(self, kind: Kind) -> None:
        wide, order = kind[0] == 2, "<" if kind[1] == 1 else ">"
        self.header = order + ("HHIQQQIHHH" if wide else "HHIIIIIHHH")
        self.segment = order + ("IIQQQQQQ" if wide else "IIIIIIII")
        self.entry = order + ("qQ" if wide else "iI")
        #: Where a segment's type, offset, address and length in the file stand.
        self.places = (0, 2, 3, 5) if wide else (0, 1, 2, 4)


def _segments(read: Read, form: _Form, offset: int, size: int, count: int) -> Iterator[list[int]]:
    """Type, offset, address and length in the file of each program header."""
    if not count:
        return
    least = struct.calcsize(form.segment)
    if count > _MOST_HEADERS or not least <= size <= 4 * least:
        raise MalformedError("no table of segments")
    table = _exactly(read, offset, size * count)
    for index in range(count):
        values = struct.unpack_from(form.segment, table, index * size)
        yield [values[place] for place in form.places]


def _entries(read: Read, form: _Form, offset: int, length: int) -> list[tuple[int, int]]:
    """Tags and values of the dynamic section."""
    if length > _MOST_DYNAMIC_BYTES:
        raise MalformedError("a dynamic section of no sensible size")
    table = _exactly(read, offset, length - length % struct.calcsize(form.entry))
    found: list[tuple[int, int]] = []
    for tag, value in struct.iter_unpack(form.entry, table):
        if not tag:
            break
        found.append((tag, value))
    return found


def _exactly(read: Read, offset: int, size: int) -> bytes:
    if not 0 <= offset < _HIGHEST_OFFSET:
        raise MalformedError("an offset outside of the file")
    data = read(offset, size)
    if len(data) != size:
        raise MalformedError("the file is cut off")
    return data


class _Strings:
    """The entries of a dynamic section that are names."""

    def __init__(self, read: Read, entries: list[tuple[int, int]], loads: list[tuple[int, int, int]]) -> None:
        self._read = read
        self._loads = loads
        self._values = dict(entries)
        self.needed = list(dict.fromkeys(value for tag, value in entries if tag == _NEEDED))

    def of(self, tag: int, longest: int) -> str:
        """The text of an entry of which there is one; nothing where there is none."""
        return self.at(self._values[tag], longest) if tag in self._values else ""

    def at(self, place: int, longest: int) -> str:
        limit = self._values.get(_STRINGS_SIZE, 0)
        if not 0 <= place < limit:
            raise MalformedError("a name outside of the table of strings")
        begin = _file_offset(self._values.get(_STRINGS, -1), self._loads)
        return _text(self._read, begin + place, min(longest, limit - place))


def _read_names(found: Object, strings: _Strings) -> None:
    if len(strings.needed) > _MOST_NEEDED:
        raise MalformedError("it needs more libraries than there are")
    left = _MOST_NEEDED_TEXT
    for place in strings.needed:
        name = strings.at(place, _LONGEST_NAME)
        left -= len(name)
        if left < 0:
            raise MalformedError("it needs more libraries than there are")
        if name:
            found.needed.append(name)
    found.soname = strings.of(_SONAME, _LONGEST_NAME)
    found.rpath = _folders(strings.of(_RPATH, _LONGEST_PATH))
    found.runpath = _folders(strings.of(_RUNPATH, _LONGEST_PATH))


def _folders(text: str) -> list[str]:
    return [folder for folder in text.split(":", _MOST_FOLDERS)[:_MOST_FOLDERS] if folder]


def _file_offset(address: int, loads: list[tuple[int, int, int]]) -> int:
    for start, length, offset in loads:
        if start <= address < start + length:
            return offset + address - start
    raise MalformedError("no table of strings")


def _text(read: Read, offset: int, longest: int) -> str:
    """A string up to its NUL, in pieces: names are short, and what they may be is long."""
    data, size = b"", 128
    while b"\0" not in data and len(data) < longest:
        if not 0 <= offset < _HIGHEST_OFFSET:
            raise MalformedError("an offset outside of the file")
        piece = read(offset + len(data), min(size, longest - len(data)))
        if not piece:
            raise MalformedError("the file is cut off")
        data += piece
        size *= 4
    return os.fsdecode(data.partition(b"\0")[0])


def read_object(path: str) -> Object | None:
    """As :func:`parse`; ``None`` for what cannot be opened, too. Nothing but a regular file is read."""
    if sys.platform == "win32":
        return None  # which has no objects of this kind
    try:
        # Not blocking: a pipe that somebody has put in a file's place would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError):
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return parse(lambda offset, size: os.pread(descriptor, size, offset))
    except OSError:
        return None
    finally:
        os.close(descriptor)


# What is there -----------------------------------------------------------------------------------------------------


class Tree:
    """The shared objects below some folders, and the metadata that tells whose they are."""

    def __init__(self) -> None:
        #: Path -> what its headers say; links are names of what they lead to, and not objects of their own.
        self.objects: dict[str, Object] = {}
        #: Every name under which a library lies there, and every name that one has of itself, by kind.
        self.names: dict[Kind, set[str]] = {}
        self.malformed: list[str] = []
        self.records: list[str] = []
        self.conda: list[str] = []

    def walk(self, root: str, *, brings_only: bool = False) -> None:
        """Reads what is below a folder. Of what only ``brings`` libraries nothing is judged."""
        # Where conda keeps downloaded packages and other environments, these are none of this one.
        others = ("pkgs", "envs") if os.path.isdir(os.path.join(root, "conda-meta")) else ()
        folders = [root]
        while folders:
            folder = folders.pop()
            try:
                entries = list(os.scandir(folder))
            except (OSError, ValueError):
                continue
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name != "__pycache__" and not (folder == root and entry.name in others):
                            folders.append(entry.path)
                    elif _is_library(entry.name):
                        self._take(entry, os.path.basename(folder) == "stubs", brings_only)
                    elif entry.name == "RECORD" and folder.endswith(".dist-info"):
                        self.records.append(entry.path)
                    elif entry.name.endswith(".json") and os.path.basename(folder) == "conda-meta":
                        self.conda.append(entry.path)
                except OSError:
                    continue

    def _take(self, entry: os.DirEntry[str], stub: bool, brings_only: bool) -> None:
        if stub:  # a stand-in to link against, which nothing loads
            return
        try:
            found = read_object(entry.path)
        except MalformedError:
            self.malformed.append(entry.path)
            return
        if found is None or not found.shared:
            return
        names = self.names.setdefault(found.kind, set())
        names.update(name for name in (entry.name, found.soname) if name)
        if not brings_only and not entry.is_symlink():
            self.objects[entry.path] = found


def _is_library(name: str) -> bool:
    return name.endswith(".so") or ".so." in name


# Where the loader looks --------------------------------------------------------------------------------------------


class Loader:
    """The search of one kind of object: ld.so(8), https://www.man7.org/linux/man-pages/man8/ld.so.8.html."""

    def __init__(self, names: dict[Kind, set[str]], system: System) -> None:
        self._names = names
        self._system = system
        self._listed: dict[str, frozenset[str]] = {}
        self._kinds: dict[str, Kind | None] = {}

    def finds(self, path: str, found: Object, name: str) -> bool:
        """Whether a library that an object names is found when that object is loaded."""
        if "/" in name:
            return os.path.exists(os.path.join(os.path.dirname(path), self._expanded(name, path)))
        system = self._system
        if name in self._names.get(found.kind, ()) or (found.kind == system.kind and name in system.loaded):
            return True
        if system.musl and name.startswith(_OF_MUSL):
            return True
        own = found.runpath if found.runpath and not system.musl else found.rpath + found.runpath
        folders = [self._expanded(folder, path) for folder in own] + system.folders
        if any(self._lies_in(folder, name, found.kind) for folder in folders):
            return True
        return any(self._kind_of(each) == found.kind for each in system.cached.get(name, ()))

    def _lies_in(self, folder: str, name: str, kind: Kind) -> bool:
        if not folder.startswith("/"):  # looked for in the working folder of whoever loads it
            return False
        if folder not in self._listed:
            if len(self._listed) >= _MOST_LISTED:
                return False
            try:
                self._listed[folder] = frozenset(os.listdir(folder))
            except (OSError, ValueError):
                self._listed[folder] = frozenset()
        return name in self._listed[folder] and self._kind_of(os.path.join(folder, name)) == kind

    def _kind_of(self, path: str) -> Kind | None:
        if path not in self._kinds:
            try:
                with open(path, "rb") as file:
                    head = file.read(20) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""
            except (OSError, ValueError):
                head = b""
            self._kinds[path] = _kind(head) if head[:4] == b"\x7fELF" else None
        return self._kinds[path]

    def _expanded(self, text: str, path: str) -> str:
        """With the dynamic string tokens of ld.so(8)."""
        if "$" not in text:
            return text
        values = {"ORIGIN": os.path.dirname(path), "LIB": self._system.lib, "PLATFORM": self._system.machine}
        for token, value in values.items():
            text = text.replace("${" + token + "}", value).replace("$" + token, value)
        return text


class System:
    """What the loader of this machine knows beside the object: variables, its cache, its folders."""

    def __init__(self, environ: dict[str, str], root: str = "/", executable: str = "") -> None:
        self._root = root
        program = _program(executable)
        self.kind = program.kind if program is not None else None
        self.machine = os.uname().machine if hasattr(os, "uname") else ""
        multiarch = str(getattr(sys.implementation, "_multiarch", ""))
        self.lib = "lib64" if os.path.isdir(os.path.join(root, "lib64")) else "lib"
        interpreter = program.interpreter if program is not None else ""
        self.musl = os.path.basename(interpreter).startswith("ld-musl-")
        folders = environ.get("LD_LIBRARY_PATH", "").replace(";", ":").split(":")
        if program is not None:  # an executable's RPATH is that of all that it loads
            origin = os.path.dirname(executable)
            folders += [each.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for each in program.rpath]
        self.cached: dict[str, list[str]] = {}
        if self.musl:
            folders += self._of_musl(os.path.basename(interpreter)[len("ld-musl-") :].partition(".")[0])
        else:
            cache = self._read("etc/ld.so.cache", _LARGEST_CACHE)
            self.cached = parse_cache(cache)
            folders += [] if self.cached else self._configured()
            folders += ["/lib", "/usr/lib", "/lib64", "/usr/lib64"]
            folders += ["/lib/" + multiarch, "/usr/lib/" + multiarch] if multiarch else []
        folders += [os.path.dirname(interpreter)]
        self.folders = list(dict.fromkeys(folder for folder in folders if folder))
        #: What is in this process already: libpython where the interpreter is linked with it.
        self.loaded = self._loaded()

    def _read(self, path: str, limit: int) -> bytes:
        try:
            with open(os.path.join(self._root, path), "rb") as file:
                return file.read(limit)
        except OSError:
            return b""

    def _of_musl(self, arch: str) -> list[str]:
        """https://wiki.musl-libc.org/environment-variables: a file of folders, else three of them."""
        text = os.fsdecode(self._read(f"etc/ld-musl-{arch}.path", _LONGEST_PATH))
        return text.replace(":", "\n").split() or ["/lib", "/usr/local/lib", "/usr/lib"]

    def _configured(self) -> list[str]:
        """The folders of ld.so.conf, where no cache was made of them: ldconfig(8)."""
        import glob

        found: list[str] = []
        files = [os.path.join(self._root, "etc/ld.so.conf")]
        seen: set[str] = set()
        while files and len(seen) < _MOST_FOLDERS:
            path = files.pop(0)
            if path in seen:
                continue
            seen.add(path)
            for line in os.fsdecode(self._read(path, _LONGEST_PATH)).splitlines():
                text = line.partition("#")[0].strip()
                if text.startswith("include "):
                    pattern = os.path.join(os.path.dirname(path), text[len("include ") :].strip())
                    files += sorted(glob.glob(pattern))
                elif text.startswith("/"):
                    found.append(text)
        return found

    def _loaded(self) -> frozenset[str]:
        lines = os.fsdecode(self._read("proc/self/maps", _LARGEST_CACHE)).splitlines()
        return frozenset(os.path.basename(line.partition("/")[2]) for line in lines if ".so" in line)


def _program(executable: str) -> Object | None:
    try:
        return read_object(executable) if executable else None
    except MalformedError:
        return None


def parse_cache(data: bytes) -> dict[str, list[str]]:
    """Names -> paths of an ``ld.so.cache`` in the format of glibc 2.2 and later (sysdeps/generic/dl-cache.h).

    It may stand behind one in the older format. Nothing where it is neither; what points outside of it is left out.
    """
    begin = data.find(b"glibc-ld.so.cache1.1")
    if begin < 0 or len(data) < begin + 48:
        return {}
    (count,) = struct.unpack_from("=I", data, begin + 20)
    found: dict[str, list[str]] = {}
    for index in range(min(count, (len(data) - begin - 48) // 24)):
        _, name, path, _, _ = struct.unpack_from("=iIIIQ", data, begin + 48 + 24 * index)
        texts = [_cached_text(data, begin + at) for at in (name, path)]
        if all(texts):
            found.setdefault(texts[0], []).append(texts[1])
    return found


def _cached_text(data: bytes, at: int) -> str:
    end = data.find(b"\0", at, at + _LONGEST_NAME)
    return os.fsdecode(data[at:end]) if 0 <= at < end else ""


# Whose it is -------------------------------------------------------------------------------------------------------


def owners(paths: Iterable[str], tree: Tree) -> dict[str, tuple[str, str]]:
    """Path -> name and version of the distribution, or of conda's package, that lists it."""
    wanted = set(paths)
    found: dict[str, tuple[str, str]] = {}
    for record in tree.records if wanted else ():
        site, _, folder = os.path.dirname(record).rpartition("/")
        name, _, version = folder[: -len(".dist-info")].partition("-")
        for line in _lines(record):
            path = os.path.normpath(os.path.join(site, os.fsdecode(line.lstrip(b'"').partition(b",")[0].rstrip(b'"'))))
            if path in wanted:
                found[path] = name, version
    left = wanted - found.keys()
    for record in tree.conda if left else ():
        prefix = os.path.dirname(os.path.dirname(record))
        try:
            told = json.loads(b"\n".join(_lines(record)))
            name, version, files = str(told["name"]), str(told["version"]), list(told["files"])
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        for file in files:
            path = os.path.join(prefix, file) if isinstance(file, str) else ""
            if path in left:
                found[path] = name, version
    return found


def _lines(path: str) -> list[bytes]:
    try:
        with open(path, "rb") as file:
            return file.read(_LARGEST_RECORD).splitlines()
    except OSError:
        return []


# The answer --------------------------------------------------------------------------------------------------------


def scan(roots: list[str], system: System) -> dict[str, Any]:
    """How many objects were read, and which libraries are missing.

    ``missing`` has one row for each library and object; an object's path is relative to its root.
    """
    tree = Tree()
    for root in _each_once(roots):
        tree.walk(root)
    for folder in _beside(roots):
        tree.walk(folder, brings_only=True)
    loader = Loader(tree.names, system)
    missing: list[tuple[str, str]] = []
    foreign = more = 0
    for path, found in sorted(tree.objects.items()):
        if system.kind not in (None, found.kind):  # of another machine: no process of this one loads it
            foreign += 1
            continue
        for name in found.needed:
            if not loader.finds(path, found, name):
                if len(missing) < _MOST_ROWS:
                    missing.append((name, path))
                else:
                    more += 1
    whose = owners({path for _, path in missing}, tree)
    rows = [
        {
            "library": name,
            "object": _relative(path, roots),
            "owner": whose.get(path, ("", ""))[0],
            "version": whose.get(path, ("", ""))[1],
        }
        for name, path in sorted(missing)
    ]
    return {
        "objects": len(tree.objects) - foreign,
        "foreign": foreign,
        "malformed": len(tree.malformed),
        "missing": rows,
        "more": more,
    }


def _each_once(roots: list[str]) -> list[str]:
    """The folders that lie in no other of them."""
    real = {os.path.realpath(root): root for root in reversed(roots)}
    return [root for path, root in reversed(real.items()) if not any(path.startswith(other + "/") for other in real)]


def _beside(roots: list[str]) -> list[str]:
    """Where the packages of the base interpreter are, for a virtual environment that sees them, too."""
    own = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/"
    for root in roots:
        try:
            with open(os.path.join(root, "pyvenv.cfg"), encoding="utf-8", errors="replace") as file:
                text = file.read(_LONGEST_PATH).lower().replace(" ", "")
        except OSError:
            continue
        if "include-system-site-packages=true" in text:
            names = (own + "site-packages", own + "dist-packages", "lib/python3/dist-packages")
            return [os.path.join(base, name) for base in (sys.base_prefix, "/usr/local") for name in names]
    return []


def _relative(path: str, roots: list[str]) -> str:
    inside = (path[len(root.rstrip("/")) + 1 :] for root in roots if path.startswith(root.rstrip("/") + "/"))
    return next(inside, path)


def clean(value: Any) -> Any:
    """Text that UTF-8 can hold, and no longer than a name is: a file may claim what it likes."""
    if isinstance(value, str):
        return value[:_SHOWN_NAME].encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {key: clean(item) for key, item in value.items()}
    return [clean(item) for item in value] if isinstance(value, list) else value


def _main(*roots: str) -> int:
    system = System(dict(os.environ), executable=os.path.realpath(sys.executable) if sys.executable else "")
    answer = scan([os.path.abspath(root) for root in roots], system)
    sys.stdout.write(json.dumps(clean(answer)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
