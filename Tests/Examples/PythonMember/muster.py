"""Muster's members for Python, by ctypes: what the example needs of muster/member.h, nothing more.

The structures and the order of their fields are those of the header; the library checks each one's
size, so a library of another version refuses them instead of misreading them.
"""

import ctypes
import errno
import os
import shutil
import sys

STATIC, CYCLIC, DYNAMIC, GUIDED, STATIC_STEAL = range(5)
ADOPT = 1
F64 = 3
SUM = 1


class Died(Exception):
    """A rank died: call Member.recover, and go on."""


class Chunk(ctypes.Structure):
    _fields_ = [("index", ctypes.c_uint64), ("first", ctypes.c_uint64), ("end", ctypes.c_uint64)]


class Description(ctypes.Structure):
    _fields_ = [
        ("size_bytes", ctypes.c_uint32),
        ("rank", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("global_rank", ctypes.c_uint32),
        ("global_size", ctypes.c_uint32),
        ("node", ctypes.c_int32),
        ("cpu", ctypes.c_int32),
        ("incarnation", ctypes.c_uint32),
        ("alone", ctypes.c_uint32),
    ]


class LoopOptions(ctypes.Structure):
    _fields_ = [
        ("size_bytes", ctypes.c_uint32),
        ("schedule", ctypes.c_uint32),
        ("elements", ctypes.c_uint64),
        ("grain", ctypes.c_uint64),
        ("batch", ctypes.c_uint64),
        ("partial_bytes", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("name", ctypes.c_char_p),
    ]


class Report(ctypes.Structure):
    _fields_ = [
        ("size_bytes", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("loops", ctypes.c_uint64),
        ("failed", ctypes.c_uint64),
        ("chunks", ctypes.c_uint64),
        ("exactly_once", ctypes.c_uint64),
        ("missing", ctypes.c_uint64),
        ("repeated", ctypes.c_uint64),
        ("redone", ctypes.c_uint64),
        ("adopted", ctypes.c_uint64),
        ("own", ctypes.c_uint64),
        ("elements", ctypes.c_uint64),
        ("grain", ctypes.c_uint64),
        ("schedule", ctypes.c_uint32),
        ("clean", ctypes.c_uint32),
        ("cancelled", ctypes.c_uint32),
        ("interrupted_by", ctypes.c_uint32),
        ("interrupted", ctypes.c_uint64),
        ("interrupted_chunks", ctypes.c_uint64),
        ("interrupted_committed", ctypes.c_uint64),
        ("finding_first", ctypes.c_uint64),
        ("finding_end", ctypes.c_uint64),
        ("finding_repeated", ctypes.c_uint32),
        ("finding_reserved", ctypes.c_uint32),
        ("first_finding_ranks", ctypes.c_uint32 * 2),
        ("death_count", ctypes.c_uint64),
        ("finding_count", ctypes.c_uint64),
        ("quarantined_count", ctypes.c_uint64),
        ("vacant_count", ctypes.c_uint64),
        ("failed_chunk", ctypes.c_uint64),
        ("failed_rank", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("findings", ctypes.c_void_p),
        ("deaths", ctypes.c_void_p),
        ("quarantined", ctypes.c_void_p),
        ("vacant", ctypes.c_void_p),
        ("text", ctypes.c_char_p),
    ]


def _load():
    """MUSTER_LIBRARY; or libmuster.so where the system looks for libraries, or beside `muster`."""
    places = [os.environ.get("MUSTER_LIBRARY"), "libmuster.so.0"]
    tool = shutil.which("muster")
    if tool:
        places.append(os.path.join(os.path.dirname(os.path.dirname(tool)), "lib", "libmuster.so.0"))
    for path in filter(None, places):
        try:
            library = ctypes.CDLL(path)
            break
        except OSError as error:
            if path == places[0]:
                sys.exit(f"MUSTER_LIBRARY: {error}")
    else:
        sys.exit("libmuster.so is not installed: CSources/install.sh installs it, or set MUSTER_LIBRARY")
    pointer = ctypes.c_void_p
    for name, arguments in {
        "muster_join": [pointer],
        "muster_leave": [pointer],
        "muster_join_advice": [ctypes.c_int, pointer, ctypes.c_size_t],
        "muster_member_describe": [pointer, pointer],
        "muster_recover": [pointer],
        "muster_member_barrier": [pointer],
        "muster_member_array": [pointer, ctypes.c_char_p, ctypes.c_uint64, pointer],
        "muster_member_all_reduce": [pointer, pointer, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_uint32],
        "muster_member_loop_begin": [pointer, pointer, pointer],
        "muster_member_loop_next_call": [pointer, pointer],
        "muster_member_loop_commit_call": [pointer, pointer],
        "muster_member_loop_end": [pointer, pointer],
        "muster_member_loop_reduce": [pointer, ctypes.c_uint32, ctypes.c_uint32, pointer],
    }.items():
        function = getattr(library, name)
        function.argtypes = arguments
        function.restype = ctypes.c_int
    library.muster_member_loop_commit_call.restype = None
    library.muster_member_loop_partial_call.argtypes = [pointer, pointer]
    library.muster_member_loop_partial_call.restype = ctypes.c_void_p
    library.muster_status_text.argtypes = [ctypes.c_int]
    library.muster_status_text.restype = ctypes.c_char_p
    return library


_library = _load()


def _check(status, what):
    if status == -errno.EOWNERDEAD:
        raise Died(what)
    if status < 0:
        raise OSError(-status, f"{what}: {_library.muster_status_text(status).decode()}")
    return status


class Member:
    """This process as a rank. Started alone, it is a team of one."""

    def __init__(self):
        self._member = ctypes.c_void_p()
        status = _library.muster_join(ctypes.byref(self._member))
        if status < 0:
            text = ctypes.create_string_buffer(512)
            _library.muster_join_advice(status, text, len(text))
            raise OSError(-status, text.value.decode())
        self.about = Description(size_bytes=ctypes.sizeof(Description))
        _check(_library.muster_member_describe(self._me, ctypes.byref(self.about)), "describe")
        self.rank = self.about.rank
        self.size = self.about.size

    @property
    def _me(self):
        if not self._member:
            raise ValueError("this member has left its team: it can't be used any more")
        return self._member

    def leave(self):
        """Leaves for good. Arrays and loops of this member must not be touched any more."""
        member, self._member = self._me, None
        _check(_library.muster_leave(member), "leave")

    def recover(self):
        _check(_library.muster_recover(self._me), "recover")

    def barrier(self):
        _check(_library.muster_member_barrier(self._me), "barrier")

    def array(self, name, count):
        """A NumPy view of doubles that all ranks share, made at the first call with this name."""
        import numpy

        address = ctypes.c_void_p()
        size_bytes = 8 * count
        status = _library.muster_member_array(
            self._me, name.encode(), size_bytes, ctypes.byref(address)
        )
        _check(status, f"array {name}")
        memory = (ctypes.c_double * count).from_address(address.value)
        return numpy.frombuffer(memory, dtype=numpy.float64)

    def all_reduce(self, values):
        """The sums over all ranks of each of `values`, a NumPy array of doubles, in place."""
        status = _library.muster_member_all_reduce(
            self._me, values.ctypes.data, values.size, F64, SUM
        )
        _check(status, "all_reduce")

    def loop(self, name, elements, **options):
        return Loop(self, name, elements, **options)


class Loop:
    """A verified loop: `for chunk in loop` claims, and commits what the body has come through."""

    def __init__(self, member, name, elements, grain=0, schedule=DYNAMIC, flags=0, partials=0):
        self._name = name.encode()
        self._member = member
        self._begun = ctypes.c_void_p()
        self._partials = partials
        options = LoopOptions(
            size_bytes=ctypes.sizeof(LoopOptions),
            schedule=schedule,
            elements=elements,
            grain=grain,
            partial_bytes=8 * partials,
            flags=flags,
            name=self._name,
        )
        status = _library.muster_member_loop_begin(
            member._me, ctypes.byref(options), ctypes.byref(self._begun)
        )
        _check(status, f"loop {name}")

    @property
    def _loop(self):
        self._member._me  # its loops are gone with a member that has left
        return self._begun

    def __iter__(self):
        chunk = Chunk()
        while True:
            status = _library.muster_member_loop_next_call(self._loop, ctypes.byref(chunk))
            if _check(status, "claim") == 0:
                return
            yield chunk
            # Not reached where the body has raised: the chunk stays open, and shows in the audit.
            _library.muster_member_loop_commit_call(self._loop, ctypes.byref(chunk))

    def partial(self, chunk):
        """Where a chunk leaves its partial result, a NumPy view: written before it is committed."""
        import numpy

        address = _library.muster_member_loop_partial_call(self._loop, ctypes.byref(chunk))
        memory = (ctypes.c_double * self._partials).from_address(address)
        return numpy.frombuffer(memory, dtype=numpy.float64)

    def end(self):
        """Waits for all ranks; the audit. Raises where a chunk was not done exactly once."""
        report = Report(size_bytes=ctypes.sizeof(Report))
        _check(_library.muster_member_loop_end(self._loop, ctypes.byref(report)), "audit")
        return report

    def reduce(self):
        """The sum of the chunks' partial results: the same bits for any number of ranks."""
        import numpy

        result = numpy.zeros(self._partials)
        status = _library.muster_member_loop_reduce(self._loop, F64, SUM, result.ctypes.data)
        _check(status, "reduce")
        return result
