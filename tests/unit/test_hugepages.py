"""Gathering memory in huge pages: what is worth it, what is replaced, and what stays as it was."""
import ctypes
import mmap
import re

import pytest

from respserver import hugepages
from respserver.hugepages import Gatherer

PAGE = 2 << 20


@pytest.fixture
def begun(monkeypatch):
    """How often a thread is begun; none is."""
    starts = []
    monkeypatch.setattr(hugepages.threading.Thread, "start", lambda self: starts.append(self.name))
    return starts


def test_looks_when_memory_has_grown_or_a_process_was_forked(begun):
    gatherer = Gatherer()
    gatherer.page = PAGE
    gatherer.look(20 << 20)
    gatherer.is_due = True
    gatherer.look(63 << 20)                                     # a small server is left alone
    assert not begun
    gatherer.is_due = False
    gatherer.look(70 << 20)
    gatherer.look(100 << 20)
    assert len(begun) == 1
    gatherer.look(140 << 20)
    gatherer.look(1000 << 20)
    gatherer.look(1100 << 20)                                   # not an eighth more
    assert len(begun) == 3
    gatherer.look(1150 << 20)
    assert len(begun) == 4
    gatherer.give_way()
    gatherer.look(1150 << 20)
    gatherer.look(1150 << 20)
    assert len(begun) == 5
    gatherer.look(500 << 20)                                    # given back, and grown again
    gatherer.look(600 << 20)
    assert len(begun) == 6
    gatherer.page = 0
    gatherer.look(10_000 << 20)
    assert len(begun) == 6


def test_is_off_where_there_are_no_huge_pages(tmp_path, monkeypatch):
    monkeypatch.setattr(hugepages, "_SETTINGS", f"{tmp_path}/")
    assert hugepages.page_bytes() == 0
    (tmp_path / "hpage_pmd_size").write_text("2097152\n")
    (tmp_path / "enabled").write_text("always madvise [never]\n")
    assert Gatherer().page == 0
    (tmp_path / "enabled").write_text("always [madvise] never\n")
    assert Gatherer().page == PAGE


def _huge_bytes(at: int) -> tuple[int, int]:
    """(resident, in huge pages) of the mapping that holds an address."""
    with open("/proc/self/smaps") as file:
        for part in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", file.read()):
            start, end = (int(word, 16) for word in part.split()[0].split("-"))
            if start <= at < end:
                return tuple(1024 * int(re.search(rf"^{name}:\s+(\d+)", part, re.M)[1]) for name in ("Rss", "AnonHugePages"))
    raise AssertionError


@pytest.mark.skipif(not Gatherer().page, reason="no huge pages here")
def test_replaces_what_is_full_and_leaves_holes(monkeypatch):
    gatherer = Gatherer(busy_share=1.0)
    page = gatherer.page
    memory = mmap.mmap(-1, 6 * page, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_DONTDUMP)                          # so that it is a mapping of its own
    at = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    first = -(-at // page) * page - at
    for offset in range(0, 4 * page, mmap.PAGESIZE):
        if offset < 2 * page or offset % page < page // 2:      # two full windows, two half full
            memory[first + offset] = 7
    before, _ = _huge_bytes(at)
    monkeypatch.setattr(hugepages, "mappings", lambda: iter([(at, at + 6 * page), (1 << 12, 5 * page)]))     # one that is gone
    gatherer.gather()
    resident, huge = _huge_bytes(at)
    if not gatherer.page or gatherer.n_gathered < 2:
        pytest.skip("the system does not know the call, or has no huge page free")
    assert (resident, huge) == (before, 2 * page) and gatherer.n_gathered == 2
    assert all(memory[first + offset] == 7 for offset in range(0, 2 * page, mmap.PAGESIZE)) and memory[first + page - 1] == 0
    gatherer.give_way()
    gatherer.gather()
    assert gatherer.n_gathered == 0
    for used, n in ((63 << 20, 0), (64 << 20, 2)):              # whoever prepares a fork has it done, unless there is little
        monkeypatch.setattr(hugepages, "used_memory", lambda used=used: used)
        gatherer.finish()
        assert gatherer.n_gathered == n


def test_own_mappings_are_found():
    block = ctypes.create_string_buffer(8 << 20)
    at = ctypes.addressof(block)
    found = list(hugepages.mappings())
    there = [max(0, min(end, at + len(block)) - max(start, at)) for start, end in found]
    assert sum(there) == len(block)                             # in one mapping or several beside one another
    stack = [line for line in open("/proc/self/maps") if "[stack]" in line]
    assert stack and not any(stack[0].startswith(f"{start:x}-") for start, _ in found)
