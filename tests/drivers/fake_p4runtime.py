"""A P4Runtime server in this process: keeps entries by the rules of the P4Runtime 1.3 specification.

Written from the specification and the P4Info alone, without the driver's code, so that a mistake
in the driver does not cancel out here. Faults, and what BMv2 does in its own way, are switched on by the public
attributes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import grpc
from finsy.proto import U128, p4i, p4r, p4r_grpc, rpc_code, rpc_status
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.struct_pb2 import Struct

Key = tuple[int, bytes, int]


class Refusal(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class FakeP4Runtime(p4r_grpc.P4RuntimeServicer):
    def __init__(self, device_id: int, address: str, capabilities: dict[str, object] | None = None) -> None:
        self.device_id = device_id
        self.address = address
        self.capabilities = capabilities
        self.config = p4r.ForwardingPipelineConfig()
        self.pushes = 0
        self.push_actions: list[int] = []
        self.blocked = False
        """A push went wrong half-way: the next ones fail until something is committed."""
        self.hollow = False
        """A failed push took the program away and left its cookie."""
        self.tables: dict[Key, p4r.TableEntry] = {}
        self.defaults: dict[int, p4r.Action] = {}
        self.meters: dict[tuple[int, int], p4r.MeterConfig] = {}
        self.counters: dict[tuple[int, int], tuple[int, int]] = {}
        """(packets, octets) by counter id and index."""
        self.unreadable: set[int] = set()
        """Ids of counters that this target does not have, though the P4Info names them."""
        self.rounding = 0
        """How much less than what was written the rates of meters read back."""
        self.watch_numbers = False
        """Watched ports are answered as plain numbers, as before P4Runtime 1.2."""
        self.packets_out: list[tuple[int, bytes]] = []
        self.batches: list[list[p4r.Update]] = []
        self.election_ids: set[int] = set()
        """Of all writes and pushes, accepted or not."""
        self.reads: list[p4r.ReadRequest] = []
        self.refuse: Callable[[p4r.Update], tuple[int, str] | None] = lambda update: None
        self.refuse_write: tuple[grpc.StatusCode, str] | None = None
        self.before_answer: Callable[[], Awaitable[None]] | None = None
        """Called once, when a write is done and its answer is not sent yet."""
        self.fences = False
        """Nobody is promoted when the primary leaves, as the specification has it and BMv2 has not."""
        self.half_open = False
        """A path that dies: clients are gone, and their streams stand as far as this target knows."""
        self.mute = False
        """No answer to anything, as from a host that has hung."""
        self._streams: dict[int, asyncio.Queue[p4r.StreamMessageResponse | None]] = {}
        self._bar = 0
        """The highest election id that ever was."""
        self._server: grpc.aio.Server | None = None
        self._released = asyncio.Event()

    async def start(self, credentials: grpc.ServerCredentials | None = None) -> int:
        """Returns the port number, where the address has one."""
        self._server = grpc.aio.server()
        p4r_grpc.add_P4RuntimeServicer_to_server(self, self._server)
        if credentials is None:
            port = self._server.add_insecure_port(self.address)
        else:
            port = self._server.add_secure_port(self.address, credentials)
        await self._server.start()
        return port

    async def stop(self) -> None:
        self._released.set()
        if self._server is not None:
            await self._server.stop(None)
            self._server = None
        self._streams.clear()
        self._released = asyncio.Event()

    @property
    def primary(self) -> int:
        """Election id; the highest that is connected, and with `fences` that ever was. 0: nobody."""
        highest = max(self._streams, default=0)
        return 0 if self.fences and highest < self._bar else highest

    def end_streams(self) -> None:
        """Of all clients; they may come again."""
        for out in self._streams.values():
            out.put_nowait(None)

    def wipe(self) -> None:
        """Lose everything, as a restarted switch does."""
        self.config = p4r.ForwardingPipelineConfig()
        self.tables.clear()
        self.defaults.clear()
        self.meters.clear()
        self.counters.clear()

    def punt(self, port: int, frame: bytes) -> None:
        """A packet-in; only the primary gets it."""
        metadata = [
            p4r.PacketMetadata(metadata_id=1, value=_number(port)),
            p4r.PacketMetadata(metadata_id=2, value=b"\0"),
        ]
        packet = p4r.PacketIn(payload=frame, metadata=metadata)
        self._streams[max(self._streams)].put_nowait(p4r.StreamMessageResponse(packet=packet))

    def tell(self, other: AnyMessage) -> None:
        """A message of the target's own; only the primary gets it."""
        self._streams[max(self._streams)].put_nowait(p4r.StreamMessageResponse(other=other))

    # ---- the service

    async def StreamChannel(  # noqa: N802
        self, requests: AsyncIterator[p4r.StreamMessageRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[p4r.StreamMessageResponse]:
        first = await anext(requests)
        election_id = U128.decode(first.arbitration.election_id)
        if first.arbitration.device_id != self.device_id:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such device")
        if election_id in self._streams:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Election id already exists")
        out: asyncio.Queue[p4r.StreamMessageResponse | None] = asyncio.Queue()
        self._streams[election_id] = out
        self._bar = max(self._bar, election_id)
        reader = asyncio.create_task(self._take(requests, election_id))
        try:
            self._announce()
            while (message := await out.get()) is not None:
                yield message
        finally:
            reader.cancel()
            if not self.half_open and self._streams.pop(election_id, None):
                self._announce()

    async def _take(self, requests: AsyncIterator[p4r.StreamMessageRequest], election_id: int) -> None:
        async for request in requests:
            if request.HasField("packet") and election_id == max(self._streams):
                ports = {item.metadata_id: int.from_bytes(item.value, "big") for item in request.packet.metadata}
                self.packets_out.append((ports[1], request.packet.payload))

    def _announce(self) -> None:
        primary = self.primary
        for election_id, out in self._streams.items():
            code = rpc_code.OK if election_id == primary else rpc_code.ALREADY_EXISTS if primary else rpc_code.NOT_FOUND
            update = p4r.MasterArbitrationUpdate(
                device_id=self.device_id,
                election_id=U128.encode(primary or self._bar),
                status=rpc_status.Status(code=code),
            )
            out.put_nowait(p4r.StreamMessageResponse(arbitration=update))

    async def Capabilities(self, request: p4r.CapabilitiesRequest, context: grpc.aio.ServicerContext):  # noqa: N802
        await self._answering()
        response = p4r.CapabilitiesResponse(p4runtime_api_version="1.3.0")
        if self.capabilities is None:
            return response
        announced = Struct()
        announced.update(self.capabilities)
        wrapped = AnyMessage()
        wrapped.Pack(announced)
        response.experimental.CopyFrom(wrapped)
        return response

    async def GetForwardingPipelineConfig(self, request, context: grpc.aio.ServicerContext):  # noqa: N802
        await self._answering()
        if not self.config.HasField("p4info"):
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "No forwarding pipeline config set")
        return p4r.GetForwardingPipelineConfigResponse(config=p4r.ForwardingPipelineConfig(cookie=self.config.cookie))

    async def SetForwardingPipelineConfig(self, request, context: grpc.aio.ServicerContext):  # noqa: N802
        await self._answering()
        await self._check_primary(request.election_id, context)
        self.push_actions.append(request.action)
        if request.action == p4r.SetForwardingPipelineConfigRequest.COMMIT:
            self.blocked = False
            return p4r.SetForwardingPipelineConfigResponse()
        if self.blocked:
            await context.abort(grpc.StatusCode.UNKNOWN, "Error in first phase of device update")
        self.wipe()  # also when it is the same pipeline again
        self.config.CopyFrom(request.config)
        self.hollow = False
        self.pushes += 1
        return p4r.SetForwardingPipelineConfigResponse()

    async def Write(self, request: p4r.WriteRequest, context: grpc.aio.ServicerContext):  # noqa: N802
        await self._answering()
        await self._check_primary(request.election_id, context)
        if self.refuse_write is not None:
            await context.abort(*self.refuse_write)
        self.batches.append(list(request.updates))
        results = [self._result(update) for update in request.updates]
        if self.before_answer is not None:
            meanwhile, self.before_answer = self.before_answer, None
            await meanwhile()
        if any(result.canonical_code for result in results):
            status = rpc_status.Status(code=rpc_code.UNKNOWN)
            for result in results:
                status.details.add().Pack(result)
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            await context.abort(grpc.StatusCode.UNKNOWN, "")
        return p4r.WriteResponse()

    async def Read(self, request: p4r.ReadRequest, context: grpc.aio.ServicerContext):  # noqa: N802
        await self._answering()
        self.reads.append(request)
        if self.hollow:
            await context.abort(grpc.StatusCode.UNKNOWN, "Error when reading table entries from target")
        if any(wanted.counter_entry.counter_id in self.unreadable for wanted in request.entities):
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such counter here")
        for wanted in request.entities:
            yield p4r.ReadResponse(entities=list(self._found(wanted)))

    async def _answering(self) -> None:
        if self.mute:
            await self._released.wait()

    async def _check_primary(self, election_id: p4r.Uint128, context: grpc.aio.ServicerContext) -> None:
        self.election_ids.add(U128.decode(election_id))
        if U128.decode(election_id) != self.primary:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "Not primary")

    # ---- the entries

    def _result(self, update: p4r.Update) -> p4r.Error:
        injected = self.refuse(update)
        if injected is not None:
            return p4r.Error(canonical_code=injected[0], message=injected[1])
        try:
            self._write(update)
        except Refusal as refusal:
            return p4r.Error(canonical_code=refusal.code, message=refusal.message)
        return p4r.Error(canonical_code=rpc_code.OK)

    def _write(self, update: p4r.Update) -> None:
        if update.entity.HasField("meter_entry"):
            self._write_meter(update)
        elif update.entity.table_entry.is_default_action:
            self._write_default(update)
        else:
            self._write_table(update.type, update.entity.table_entry)

    def _write_meter(self, update: p4r.Update) -> None:
        entry = update.entity.meter_entry
        meter = _by_id(self.config.p4info.meters, entry.meter_id)
        if update.type != p4r.Update.MODIFY or not 0 <= entry.index.index < meter.size:
            raise Refusal(rpc_code.INVALID_ARGUMENT, "meter cells can only be modified, within the array")
        if entry.config.pir < entry.config.cir:
            raise Refusal(rpc_code.UNKNOWN, "Error when writing meter spec")
        if max(entry.config.cburst, entry.config.pburst) >= 1 << 32:
            raise Refusal(rpc_code.UNIMPLEMENTED, "CBurst too large")
        cell = (entry.meter_id, entry.index.index)
        if entry.HasField("config"):
            self.meters[cell] = entry.config
        else:
            self.meters.pop(cell, None)

    def _write_default(self, update: p4r.Update) -> None:
        entry = update.entity.table_entry
        table = _by_id(self.config.p4info.tables, entry.table_id)
        if update.type != p4r.Update.MODIFY or entry.match or table.const_default_action_id:
            raise Refusal(rpc_code.INVALID_ARGUMENT, "a default action can only be modified, unless constant")
        if entry.HasField("action"):
            self._check_table_action(table, entry.action)
            self.defaults[entry.table_id] = entry.action.action
        else:
            self.defaults.pop(entry.table_id, None)

    def _write_table(self, kind: int, entry: p4r.TableEntry) -> None:
        table = _by_id(self.config.p4info.tables, entry.table_id)
        _check_match(table, entry)
        fields = sorted(entry.match, key=lambda match: match.field_id)
        key = (entry.table_id, b"".join(match.SerializeToString() for match in fields), entry.priority)
        if kind == p4r.Update.INSERT and key in self.tables:
            raise Refusal(rpc_code.ALREADY_EXISTS, "entry exists")
        if kind != p4r.Update.INSERT and key not in self.tables:
            raise Refusal(rpc_code.NOT_FOUND, "no such entry")
        if kind == p4r.Update.DELETE:
            del self.tables[key]
            return
        self._check_table_action(table, entry.action)
        if key not in self.tables and sum(table_id == entry.table_id for table_id, *_ in self.tables) >= table.size:
            raise Refusal(rpc_code.UNKNOWN, "Error when adding match entry to target")
        self.tables[key] = entry

    def _check_table_action(self, table: p4i.Table, action: p4r.TableAction) -> None:
        """A table with an action selector takes sets of actions, and no other does."""
        members = action.action_profile_action_set.action_profile_actions
        if action.WhichOneof("type") != ("action_profile_action_set" if table.implementation_id else "action"):
            raise Refusal(rpc_code.INVALID_ARGUMENT, "not the kind of action of this table")
        if table.implementation_id and not members:
            raise Refusal(rpc_code.UNIMPLEMENTED, "No support for empty action profile groups")
        for member in members:
            if member.weight <= 0:
                raise Refusal(rpc_code.INVALID_ARGUMENT, "Member weight must be a positive integer value")
            if member.WhichOneof("watch_kind"):
                _check_value(member.watch_port, 9)
            self._check_action(table, member.action)
        if not table.implementation_id:
            self._check_action(table, action.action)

    def _check_action(self, table: p4i.Table, action: p4r.Action) -> None:
        if action.action_id not in {ref.id for ref in table.action_refs}:
            raise Refusal(rpc_code.INVALID_ARGUMENT, "not an action of this table")
        known = {param.id: param.bitwidth for param in _by_id(self.config.p4info.actions, action.action_id).params}
        if sorted(param.param_id for param in action.params) != sorted(known):
            raise Refusal(rpc_code.INVALID_ARGUMENT, "wrong parameters")
        for param in action.params:
            _check_value(param.value, known[param.param_id])

    def _found(self, wanted: p4r.Entity) -> Iterable[p4r.Entity]:
        if wanted.HasField("meter_entry"):
            yield from self._found_meters(wanted.meter_entry)
        elif wanted.HasField("counter_entry"):
            yield from self._found_counters(wanted.counter_entry)
        elif wanted.table_entry.is_default_action:
            table_id = wanted.table_entry.table_id
            entry = p4r.TableEntry(table_id=table_id, is_default_action=True)
            if table_id in self.defaults:
                entry.action.action.CopyFrom(self.defaults[table_id])
            yield p4r.Entity(table_entry=entry)
        else:
            for entry in self.tables.values():
                if wanted.table_entry.table_id in (0, entry.table_id):
                    yield p4r.Entity(table_entry=self._answered(entry))

    def _found_meters(self, wanted: p4r.MeterEntry) -> Iterable[p4r.Entity]:
        """A wildcard read returns every cell, set or not (here the first eight stand for all)."""
        for cell in [wanted.index.index] if wanted.HasField("index") else range(8):
            entry = p4r.MeterEntry(meter_id=wanted.meter_id, index=p4r.Index(index=cell))
            if (wanted.meter_id, cell) in self.meters:
                entry.config.CopyFrom(self.meters[wanted.meter_id, cell])
                entry.config.cir -= self.rounding
                entry.config.pir -= self.rounding
            yield p4r.Entity(meter_entry=entry)

    def _found_counters(self, wanted: p4r.CounterEntry) -> Iterable[p4r.Entity]:
        counter = _by_id(self.config.p4info.counters, wanted.counter_id)
        for cell in [wanted.index.index] if wanted.HasField("index") else range(counter.size):
            packets, octets = self.counters.get((wanted.counter_id, cell), (0, 0))
            data = p4r.CounterData(packet_count=packets, byte_count=octets)
            index = p4r.Index(index=cell)
            yield p4r.Entity(counter_entry=p4r.CounterEntry(counter_id=wanted.counter_id, index=index, data=data))

    def _answered(self, entry: p4r.TableEntry) -> p4r.TableEntry:
        """Members of a group come in an order of the device's own."""
        if not entry.action.HasField("action_profile_action_set"):
            return entry
        answer = p4r.TableEntry()
        answer.CopyFrom(entry)
        members = answer.action.action_profile_action_set.action_profile_actions
        members.reverse()
        for member in members if self.watch_numbers else ():
            if member.WhichOneof("watch_kind"):
                member.watch = int.from_bytes(member.watch_port, "big")
        return answer


def _by_id(members, wanted: int):
    for member in members:
        if member.preamble.id == wanted:
            return member
    raise Refusal(rpc_code.NOT_FOUND, f"no object {wanted:#x} in the P4Info")


def _check_match(table: p4i.Table, entry: p4r.TableEntry) -> None:
    """Match fields as the specification wants them: known, no don't-cares, masked bits zero, exact ones all there."""
    fields = {field.id: field for field in table.match_fields}
    given = {match.field_id for match in entry.match}
    required = {field.id for field in table.match_fields if field.match_type == p4i.MatchField.EXACT}
    ternary = any(field.match_type == p4i.MatchField.TERNARY for field in table.match_fields)
    if len(given) != len(entry.match) or not required <= given <= set(fields):
        raise Refusal(rpc_code.INVALID_ARGUMENT, "wrong match fields")
    if ternary != (entry.priority > 0):
        raise Refusal(rpc_code.INVALID_ARGUMENT, "wrong priority")
    for match in entry.match:
        bits = fields[match.field_id].bitwidth
        kind = match.WhichOneof("field_match_type")
        if kind.upper() != p4i.MatchField.MatchType.Name(fields[match.field_id].match_type):
            raise Refusal(rpc_code.INVALID_ARGUMENT, "wrong match type")
        value = getattr(match, kind).value
        _check_value(value, bits)
        if _mask(match, kind, bits) == 0 or int.from_bytes(value, "big") & ~_mask(match, kind, bits):
            raise Refusal(rpc_code.INVALID_ARGUMENT, "not in canonical form")


def _mask(match: p4r.FieldMatch, kind: str, bits: int) -> int:
    if kind == "lpm":
        return (1 << bits) - (1 << (bits - match.lpm.prefix_len))
    if kind == "ternary":
        _check_value(match.ternary.mask, bits)
        return int.from_bytes(match.ternary.mask, "big")
    return (1 << bits) - 1


def _check_value(value: bytes, bits: int) -> None:
    """The shortest string that holds the number, at least one byte."""
    if not value or (len(value) > 1 and value[0] == 0) or int.from_bytes(value, "big") >> bits:
        raise Refusal(rpc_code.OUT_OF_RANGE, f"{value.hex()} is not a number of {bits} bits in shortest form")


def _number(value: int) -> bytes:
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
