"""Any history of slices over grooming and ledger, beside books of single slots that the test keeps by itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from networks import FGTS, TRIBUTARIES, adjacency, domain, fibre, link_name

from controller.core.errors import Infeasible
from controller.core.layers import Layers
from controller.core.model import Container, Link, SliceHop
from controller.core.otn import Claim, Ledger, RowKey, resumed
from controller.core.otn.grooming import groom
from controller.core.otn.ledger import slice_claims
from controller.core.trails import initial_ledger

FINE, FLEX = Container.FGODUFLEX, Container.ODUFLEX
WAYS = (0, 1)
Hops = tuple[SliceHop, ...]
Content = dict[RowKey, int]


def numbers(text: str) -> list[int]:
    """Of a slot list, read again by hand."""
    found = []
    for part in text.split(",") if text else []:
        ends = part.split("-")
        found += range(int(ends[0]), int(ends[-1]) + 1)
    return found


def kind_of(server: str) -> Container:
    return Container(server.split(":")[0].upper())


def content(ledger: Ledger) -> Content:
    """Bitmaps without versions."""
    return {key: row.bitmap for key, row in ledger.rows.items()}


@st.composite
def fibres(draw: st.DrawFn) -> list[Link]:
    """A ring of three or four sites, sometimes with a chord; lines of eight slots or of eighty that are nearly full."""
    sites = draw(st.integers(3, 4))
    ends = [(site, site % sites + 1) for site in range(1, sites + 1)] + ([(1, 3)] if draw(st.booleans()) else [])
    made = []
    for number, (a, z) in enumerate(ends, 1):
        servers = draw(st.lists(st.sampled_from([Container.ODU0, Container.ODU1]), max_size=2))
        odu, slots = draw(st.sampled_from([(Container.ODU2, 8), (Container.ODU2, 5), (Container.ODU4, 13)]))
        made.append(replace(fibre(f"F-{number}", a, z, 60, servers, slots), line=odu))
    return made


class Histories(RuleBasedStateMachine):
    @initialize(links=fibres(), data=st.data())
    def network(self, links: list[Link], data: st.DataObject) -> None:
        riders = [adjacency(f"A-{n}", 1, 2, ["F-1"]) for n in range(data.draw(st.integers(0, 1)))]
        self.sites = len({link.a_node for link in links})
        self.topology = domain(range(1, self.sites + 1), [*links, *riders])
        self.fibres = {link.name: link for link in links}
        self.ledger = initial_ledger(self.topology)
        self.layers = Layers.of(self.topology, self.ledger)
        self.fixed = self.laid_out(len(riders))
        self.books: dict[tuple[str, str, int], dict[int, str]] = {}
        """(fibre, server, direction) -> slot -> owner."""
        self.slices: dict[str, tuple[Container, Hops]] = {}
        self.pending: dict[str, Hops] = {}
        """What else a slice holds while it changes."""
        self.down: set[str] = set()
        self.last: dict[RowKey, tuple[int, int]] = {}
        self.count = 0

    def laid_out(self, riders: int) -> dict[str, int]:
        """How many slots of each line, from the first, servers of the file and trails take."""
        return {
            name: sum(TRIBUTARIES[server.odu] for server in link.servers) + riders * (name == link_name("F-1"))
            for name, link in self.fibres.items()
        }

    def routes(self, a: str, z: str) -> list[list[str]]:
        """All simple routes over fibres that are up."""
        found, open_ends = [], [([a], list[str]())]
        while open_ends:
            nodes, links = open_ends.pop()
            if nodes[-1] == z:
                found.append(links)
                continue
            for name, link in self.fibres.items():
                for here, there in ((link.a_node, link.z_node), (link.z_node, link.a_node)):
                    if here == nodes[-1] and there not in nodes and name not in self.down:
                        open_ends.append(([*nodes, there], [*links, name]))
        return found

    def held(self, name: str) -> dict[tuple[str, str], set[int]]:
        """By (fibre, server), of a slice and of what it changes to."""
        slots: dict[tuple[str, str], set[int]] = {}
        for hop in (*self.slices.get(name, (FINE, ()))[1], *self.pending.get(name, ())):
            slots.setdefault((hop.link, hop.server), set()).update(numbers(hop.slots))
        return slots

    def claims(self, name: str) -> frozenset[Claim]:
        return frozenset(
            Claim(name, RowKey(*where, way), sum(1 << (slot - 1) for slot in slots))
            for (where, slots), way in product(self.held(name).items(), WAYS)
        )

    def book(self, name: str, before: frozenset[Claim]) -> None:
        """The change of one slice, in the ledger and by hand."""
        after = self.ledger.change(before, self.claims(name))
        assert self.ledger.gives_back(after) == self.frees(content(self.ledger), content(after))
        rows = {claim.row for claim in before | self.claims(name)}
        self.layers = self.layers.booked(self.topology, after, rows)
        self.ledger = after
        for slots in self.books.values():
            for slot in [slot for slot, owner in slots.items() if owner == name]:
                del slots[slot]
        for ((link, server), mine), way in product(self.held(name).items(), WAYS):
            for slot in mine:
                taken = self.books.setdefault((link, server, way), {})
                assert slot not in taken, f"{link} {server} {slot} is {taken[slot]}'s"
                taken[slot] = name

    @staticmethod
    def frees(before: Content, after: Content) -> bool:
        return any(bits & ~after.get(key, 0) for key, bits in before.items())

    def groomed(
        self, route: Iterable[str], container: Container, count: int, kept: Hops = (), hold: str = ""
    ) -> Hops | None:
        before = content(self.ledger)
        try:
            made = groom(self.topology, self.ledger, list(route), container, count, kept)
        except Infeasible:
            event(f"{hold} refused")
            return None
        assert [hop.link for hop in made.hops] == list(route)
        assert all(len(set(numbers(hop.slots))) == len(numbers(hop.slots)) == count for hop in made.hops)
        opened = [(hop.link, hop.server) for hop in made.hops if RowKey(hop.link, hop.server, 0) not in before]
        assert list(made.opened) == opened
        event(hold)
        return made.hops

    sizes = st.integers(1, 119) | st.sampled_from([1, 60, 119])

    @rule(data=st.data(), container=st.sampled_from([FINE, FINE, FINE, FLEX]), count=sizes)
    def create(self, data: st.DataObject, container: Container, count: int) -> None:
        a, z = data.draw(st.permutations(sorted({link.a_node for link in self.fibres.values()})))[:2]
        routes = self.routes(a, z)
        if not routes:
            return
        count = count if container is FINE else 1 + count % 8
        hops = self.groomed(data.draw(st.sampled_from(routes)), container, count, hold="create")
        if hops is not None:
            self.count += 1
            self.slices[f"c{self.count}"] = container, hops
            self.book(f"c{self.count}", frozenset())

    @precondition(lambda self: self.slices.keys() - self.pending.keys())
    @rule(data=st.data(), count=sizes, rolled_back=st.booleans())
    def resize(self, data: st.DataObject, count: int, rolled_back: bool) -> None:
        """On its own route; where it outgrows a server, it moves into another of the fibre."""
        name = data.draw(st.sampled_from(sorted(self.slices.keys() - self.pending.keys())))
        container, kept = self.slices[name]
        count = count if container is FINE else 1 + count % 8
        hops = self.groomed([hop.link for hop in kept], container, count, kept, "resize")
        for old, new in zip(kept, hops or (), strict=False):
            mine, then = numbers(old.slots), numbers(new.slots)
            if old.server == new.server:
                assert then[: len(mine)] == mine[:count], "grown at the end, or cut there"
            else:
                others = sum(slot not in mine for slot in self.books[old.link, old.server, 0])
                size = self.size(old.link, old.server)
                assert size - others < count, "it had room where it was"
        self.start(name, hops, rolled_back)

    @precondition(lambda self: self.slices.keys() - self.pending.keys())
    @rule(data=st.data(), rolled_back=st.booleans())
    def reroute(self, data: st.DataObject, rolled_back: bool) -> None:
        """To any route between its ends: in slots of its own everywhere."""
        name = data.draw(st.sampled_from(sorted(self.slices.keys() - self.pending.keys())))
        container, old = self.slices[name]
        ends = self.ends([hop.link for hop in old])
        routes = self.routes(*ends)
        if routes:
            count = len(numbers(old[0].slots))
            hops = self.groomed(data.draw(st.sampled_from(routes)), container, count, hold="reroute")
            mine = {(hop.link, hop.server, slot) for hop in old for slot in numbers(hop.slots)}
            assert not any((h.link, h.server, slot) in mine for h in hops or () for slot in numbers(h.slots))
            self.start(name, hops, rolled_back)

    def start(self, name: str, hops: Hops | None, rolled_back: bool) -> None:
        """Old and new are held until the change ends; rolled back, all is as it was."""
        if hops is None:
            return
        before, claims = content(self.ledger), self.claims(name)
        self.pending[name] = hops
        self.book(name, claims)
        if rolled_back:
            changed = self.claims(name)
            del self.pending[name]
            self.book(name, changed)
            assert content(self.ledger) == before

    @precondition(lambda self: self.pending)
    @rule(data=st.data(), fails=st.booleans())
    def end_change(self, data: st.DataObject, fails: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.pending)))
        claims, new = self.claims(name), self.pending.pop(name)
        if not fails:
            self.slices[name] = self.slices[name][0], new
        self.book(name, claims)

    @precondition(lambda self: self.slices)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.slices)))
        claims = self.claims(name)
        del self.slices[name]
        self.pending.pop(name, None)
        self.book(name, claims)

    @rule(data=st.data())
    def fail_or_repair(self, data: st.DataObject) -> None:
        self.down ^= {data.draw(st.sampled_from(sorted(self.fibres)))}

    @precondition(lambda self: any(self.books.values()))
    @rule(data=st.data())
    def a_thief_gets_nothing(self, data: st.DataObject) -> None:
        """Neither slots that are held nor line slots below a server, whatever he takes beside."""
        where = data.draw(st.sampled_from(sorted(where for where, slots in self.books.items() if slots)))
        slot = data.draw(st.sampled_from(sorted(self.books[where])))
        stolen = [SliceHop(where[0], where[1], str(slot))]
        if ":" in where[1]:
            first = numbers(where[1].split(":")[1])[0]
            stolen += [SliceHop(where[0], "line", str(first)), SliceHop(where[0], f"odu0:{first}", "1")]
        for hop in stolen:
            if (hop.link, hop.server) == where[:2] and hop.slots != str(slot):
                continue  # an odu0 is what stands there
            with pytest.raises(Infeasible, match="held by another"):
                self.ledger.change(frozenset(), frozenset(slice_claims("thief", [hop])))

    def ends(self, links: list[str]) -> tuple[str, str]:
        first = self.fibres[links[0]]
        if len(links) == 1:
            return first.a_node, first.z_node
        inner = {self.fibres[links[1]].a_node, self.fibres[links[1]].z_node}
        a = first.a_node if first.a_node not in inner else first.z_node
        here = a
        for name in links:
            link = self.fibres[name]
            here = link.z_node if link.a_node == here else link.a_node
        return a, here

    def size(self, link: str, server: str) -> int:
        if server == "line":
            return self.fibres[link].line_slots - self.fixed[link]
        planned = {each.name: each.odu for each in self.fibres[link].servers}
        return FGTS[planned.get(server) or kind_of(server)]

    @invariant()
    def the_ledger_is_the_books(self) -> None:
        expected: dict[RowKey, set[int]] = {}
        for link, way in product(self.fibres.values(), WAYS):
            expected[RowKey(link.name, "line", way)] = set(range(1, self.fixed[link.name] + 1))
            expected |= {RowKey(link.name, server.name, way): set() for server in link.servers}
        for (link_, server, way), slots in self.books.items():
            if slots:
                expected.setdefault(RowKey(link_, server, way), set()).update(slots)
        for key in [key for key in expected if ":" in key.server]:
            odu, tributaries = kind_of(key.server), set(numbers(key.server.split(":")[1]))
            assert len(tributaries) == TRIBUTARIES[odu]
            line = expected[RowKey(key.link, "line", key.direction)]
            assert not line & tributaries, f"{key.server} is where something else is"
            line |= tributaries
        fibre_rows = {key: row for key, row in self.ledger.rows.items() if key.server}
        assert {key: set(numbers_of(row.bitmap)) for key, row in fibre_rows.items()} == expected
        for key, row in fibre_rows.items():
            size = self.fibres[key.link].line_slots if key.server == "line" else self.size(key.link, key.server)
            assert row.capacity == size

    @invariant()
    def a_row_that_changed_has_a_version_never_seen_of_it(self) -> None:
        """Also where it is a server's that was gone meanwhile: nobody takes it for the one that he read."""
        rows = self.ledger.rows
        for key, (bitmap, version) in list(self.last.items()):
            if key not in rows:
                self.last[key] = -1, version
            elif rows[key].bitmap != bitmap:
                assert rows[key].version > version
        self.last |= {key: (row.bitmap, row.version) for key, row in rows.items()}

    @rule()
    def restart(self) -> None:
        """What the slices hold is all that is needed to find the same again."""
        claims = frozenset(claim for name in self.slices for claim in self.claims(name))
        found = initial_ledger(self.topology).change(frozenset(), claims)
        assert content(found) == content(self.ledger)
        fresh = Layers.of(self.topology, found)
        for kept, built in ((self.layers.optical, fresh.optical), (self.layers.lines, fresh.lines)):
            assert (kept.free.tolist(), kept.room.tolist()) == (built.free.tolist(), built.room.tolist())
        self.ledger = resumed(found, {key: row.version for key, row in self.ledger.rows.items()})


def numbers_of(bitmap: int) -> list[int]:
    return [slot for slot, bit in enumerate(reversed(f"{bitmap:b}"), 1) if bit == "1"]


Histories.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestHistories = Histories.TestCase
