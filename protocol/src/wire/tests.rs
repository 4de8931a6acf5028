//! Golden bytes: every message, event and document of version 1 as it was released. A line of a
//! golden file is never changed; what this build writes and reads must agree with it for ever.

mod alarms;

use super::v1::*;
use super::*;
use crate::attachment::ContentHash;
use crate::bundle::Role;
use crate::catalog::{Device, Limit, Port, Sensor};
use crate::claim::Claim;
use crate::event::{
    Access, Actor, AlertEvent, AlertRaised, AssetEvent, AssetProposed, Attached, Body,
    ChecklistRef, Direction, Event, FailureEffect, FailureReport, FieldValue, GapCause,
    GatewayEvent, HoldReason, PartMoved, RecordKind, RecordRef, Severity, Signed, SignedBy,
    SignedFor, Snapshot, StockEvent, StockMove, TaskAnswer, TaskChoice, TaskKind, TaskNew,
    TaskValue, TasksAdded, WorkOrderCreated, WorkOrderEvent, WorkType,
};
use crate::id::{AlertId, DeviceId, EventId, GatewayId, Origin, SensorId, UserId, WorkOrderId};
use crate::reading::{Column, RawKind};
use crate::time::{ClockState, Hlc, Timestamp};
use crate::unit::Unit;
use data_encoding::HEXLOWER;
use serde::Serialize;
use uuid::Uuid;

const A: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_000a);
const B: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_000b);

/// Compares what this build writes with `protocol/golden/<file>`: one `name hex` per line.
fn same_as_golden(file: &str, built: &[(&str, Vec<u8>)]) -> Vec<Vec<u8>> {
    let path = format!("{}/golden/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let line = |(name, bytes): &(&str, Vec<u8>)| format!("{name} {}\n", HEXLOWER.encode(bytes));
    let written = built.iter().map(line).collect::<Vec<_>>().concat();
    assert!(
        text == written,
        "golden/{file} differs from what this build writes. A released line never changes; a \
         new one is added at the end.\n{written}"
    );
    let bytes = |line: &str| HEXLOWER.decode(line.split_once(' ')?.1.as_bytes()).ok();
    text.lines().map(|line| bytes(line).unwrap()).collect()
}

fn frame(bytes: &[u8]) -> Frame {
    let mut reader = FrameReader::default();
    reader.push(bytes);
    reader.next_frame().unwrap().unwrap()
}

fn reference() -> ReferenceV1 {
    ReferenceV1 {
        gateway_name: "Boiler house".into(),
        gateway_code: "B2".into(),
        site: A,
        site_name: "Linz".into(),
        people: vec![(B, "Ana".into())],
    }
}

fn control() -> Vec<(&'static str, Message)> {
    let hello = HelloV1 {
        protocol: (1, 1),
        features: 3,
        gateway: A,
        build: "0.1.0".into(),
        time_us: 1_800_000_000_000_000,
        clock: 1,
        catalog_hash: 0xDEAD_BEEF,
        incarnation: 2,
        events: vec![(1, 300), (2, 0)],
        down: (4, [9; 16]),
    };
    let welcome = WelcomeV1 {
        protocol: 1,
        features: 1,
        time_us: 1_800_000_000_000_001,
        events: vec![(1, 299, [8; 16]), (2, 0, [0; 16])],
        down_after: 4,
        want_catalog: true,
        windows: (262_144, 262_144, 131_072, 0),
    };
    let schema = SchemaV1 {
        incarnation: 2,
        stream: 1,
        schema: encode_schema(&schema()).unwrap(),
    };
    let catalog = CatalogV1 {
        catalog: encode_catalog(&catalog()).unwrap(),
    };
    let ack = AckV1 {
        lane: 3,
        frames: 128,
        refused: vec![(2, 1, 5, 9, "the block is damaged".into())],
    };
    let refuse = RefuseV1 {
        code: 4,
        words: "the hub has too much to do".into(),
        retry_after_s: Some(60),
    };
    let refuse_for_good = RefuseV1 {
        code: 2,
        words: "withdrawn".into(),
        retry_after_s: None,
    };
    vec![
        ("hello", Message::Hello(hello)),
        ("welcome", Message::Welcome(welcome)),
        ("schema", Message::Schema(schema)),
        ("catalog", Message::Catalog(catalog)),
        ("ack", Message::Ack(ack)),
        ("down_ack", Message::DownAck(DownAckV1 { seq: 5 })),
        ("refuse", Message::Refuse(refuse)),
        ("refuse_for_good", Message::Refuse(refuse_for_good)),
    ]
}

fn offers() -> Vec<(&'static str, Message)> {
    let offered = OfferedV1 {
        incarnation: 2,
        stream: 1,
        last: 70_000,
        schema: [7; 8],
    };
    let held = HeldV1 {
        incarnation: 2,
        stream: 1,
        want_schema: true,
        ranges: vec![(1, 60_000), (69_000, 70_000)],
    };
    let window = WindowV1 {
        lane: 4,
        bytes: 65_536,
    };
    let own = OwnEventsV1 {
        incarnation: 2,
        first_seq: 5,
        events: vec![vec![1]],
    };
    let piece = PieceV1 {
        last: true,
        bytes: vec![1, 2, 3],
    };
    vec![
        (
            "offer",
            Message::Offer(OfferV1 {
                streams: vec![offered],
                last: true,
            }),
        ),
        (
            "received",
            Message::Received(ReceivedV1 {
                streams: vec![held],
            }),
        ),
        ("window", Message::Window(window)),
        (
            "own_held",
            Message::OwnHeld(OwnHeldV1 {
                incarnation: 2,
                seq: 6,
            }),
        ),
        ("own_events", Message::OwnEvents(own)),
        ("piece", Message::Piece(piece)),
    ]
}

fn data() -> Vec<(&'static str, Message)> {
    let events = EventsV1 {
        incarnation: 2,
        first_seq: 300,
        events: vec![vec![1, 2, 3], vec![]],
    };
    let blocks = BlocksV1 {
        incarnation: 2,
        blocks: vec![vec![1, 0, 7]],
    };
    let gap = GapV1 {
        incarnation: 2,
        stream: 1,
        first_seq: 60_001,
        last_seq: u64::MAX,
    };
    let enrol = EnrolV1 {
        token: vec![7; 16],
        gateway: A,
        request: vec![0x30, 0x00],
        build: "0.1.0".into(),
    };
    let renew = RenewV1 {
        request: vec![0x30, 0x00],
        build: "0.1.0".into(),
    };
    let renewed = RenewedV1 {
        certificate: vec![0x30, 0x01],
        authorities: vec![vec![0x30, 0x02], vec![0x30, 0x03]],
    };
    let enrolled = EnrolledV1 {
        certificate: vec![0x30, 0x01],
        authority: vec![0x30, 0x02],
        reference: reference(),
    };
    vec![
        ("events", Message::Events(events)),
        ("reference", Message::Reference(reference())),
        ("blocks", Message::Blocks(blocks)),
        ("gap", Message::Gap(gap)),
        ("enrol", Message::Enrol(enrol)),
        ("enrolled", Message::Enrolled(enrolled)),
        ("renew", Message::Renew(renew)),
        ("renewed", Message::Renewed(renewed)),
    ]
}

fn contents() -> Vec<(&'static str, Message)> {
    let hash = ContentHash([0xAB; 32]);
    let offered = OfferedContentV1 {
        hash,
        bytes: 300_000,
    };
    let held = HeldContentV1 {
        hash,
        held: 16_384,
        state: 0,
    };
    let end = ContentEndV1 {
        hash,
        state: 2,
        words: "other bytes".into(),
    };
    let chunk = ChunkV1 {
        hash,
        offset: 16_384,
        bytes: vec![1, 2, 3],
    };
    let (offered, held) = (vec![offered], vec![held]);
    vec![
        (
            "contents",
            Message::Contents(ContentsV1 { contents: offered }),
        ),
        (
            "contents_held",
            Message::ContentsHeld(ContentsHeldV1 { contents: held }),
        ),
        ("content_end", Message::ContentEnd(end)),
        ("chunk", Message::Chunk(chunk)),
    ]
}

fn files() -> Vec<(&'static str, Message)> {
    let end = EndV1 {
        certificate: vec![0x30, 0x01],
        signature: vec![0x30, 0x02],
    };
    let answer = AnswerV1 {
        gateway: A,
        number: 300,
        export: [8; 32],
        down: 4,
        time_us: 1_800_000_000_000_000,
    };
    let (events, polls) = (5, 70_000);
    vec![
        ("export", Message::Export(ExportV1 { number: 300 })),
        ("left", Message::Left(LeftV1 { events, polls })),
        ("end", Message::End(end)),
        ("answer", Message::Answer(answer)),
    ]
}

fn down_lane() -> Vec<(&'static str, Message)> {
    let document = DocumentV1 {
        version: 4,
        hash: [6; 32],
        text: "[[port]]\nname = \"line\"\n".into(),
    };
    let state = DocumentStateV1 {
        version: 4,
        hash: [6; 32],
        state: 1,
        words: "document 4:1:1: key \"x\"".into(),
    };
    let command = CommandV1 {
        id: A,
        kind: 3,
        arguments: vec!["pump-7/flow".into()],
        issued_us: 1_800_000_000_000_000,
        expires_us: 1_800_000_300_000_000,
        by: "Ana".into(),
    };
    let result = CommandResultV1 {
        id: A,
        outcome: 3,
        words: "it expired".into(),
        time_us: 1_800_000_400_000_000,
    };
    vec![
        ("document_state", Message::DocumentState(state)),
        ("command_result", Message::CommandResult(result)),
        ("result_ack", Message::ResultAck(ResultAckV1 { id: A })),
        (
            "bundle_head",
            Message::BundleHead(BundleHeadV1 {
                number: 7,
                hash: [3; 32],
                length: 70_000,
                certificate: vec![0x30, 1],
                signature: vec![0x30, 2],
            }),
        ),
        (
            "bundle_piece",
            Message::BundlePiece(BundlePieceV1 {
                number: 7,
                offset: 32_768,
                bytes: vec![1, 2, 3],
            }),
        ),
        (
            "bundle_state",
            Message::BundleState(BundleStateV1 {
                held: 6,
                number: 7,
                hash: [3; 32],
                bytes: 32_768,
                refused: "it is of another site".into(),
            }),
        ),
        ("document", Message::Document(document)),
        ("command", Message::Command(command)),
    ]
}

fn schema() -> GroupSchema {
    let column = |raw, scale| Column {
        sensor: SensorId(B),
        raw,
        scale,
        offset: -40.0,
    };
    GroupSchema {
        name: "pump @ 1 s".into(),
        period_us: 1_000_000,
        columns: vec![
            column(RawKind::Int, 0.1),
            column(RawKind::Uint64, 1.0),
            column(RawKind::Float, 1.0),
        ],
    }
}

fn catalog() -> Catalog {
    let limit = |direction, severity| Limit {
        name: "hot".into(),
        value: 80.5,
        direction,
        severity,
    };
    Catalog {
        ports: vec![Port {
            name: "bus".into(),
            protocol: "modbus".into(),
        }],
        devices: vec![Device {
            id: DeviceId(A),
            name: "pump".into(),
            port: "bus".into(),
            asset: Some("P-101".into()),
        }],
        sensors: vec![Sensor {
            id: SensorId(B),
            device: DeviceId(A),
            path: "pump/temperature".into(),
            asset: None,
            unit: Unit::parse("degC"),
            range: Some((-40.0, 120.0)),
            period_us: 1_000_000,
            limits: vec![
                limit(Direction::High, Severity::Critical),
                limit(Direction::Low, Severity::Low),
            ],
        }],
        assets: vec!["P-101".into()],
    }
}

fn event(body: Body) -> Event {
    let (kind, origin, actor) = match &body {
        Body::Alert(_) => (
            RecordKind::Alert,
            Origin::Gateway(GatewayId(A)),
            Actor::System("pump hot".into()),
        ),
        Body::WorkOrder(_) => (
            RecordKind::WorkOrder,
            Origin::Hub,
            Actor::Person("Ana".into(), Some(UserId(B))),
        ),
        Body::AlarmPoint(_) => (
            RecordKind::AlarmPoint,
            Origin::Gateway(GatewayId(A)),
            Actor::Person("Bo".into(), None),
        ),
        body => (
            match body {
                Body::AlarmPoint(_) => RecordKind::AlarmPoint,
                Body::Asset(_) => RecordKind::Asset,
                Body::Stock(_) => RecordKind::Stock,
                _ => RecordKind::Gateway,
            },
            Origin::Gateway(GatewayId(A)),
            Actor::Person("Bo".into(), None),
        ),
    };
    Event {
        id: EventId(A),
        origin,
        incarnation: 1,
        seq: 300,
        hlc: Hlc {
            wall_ms: 1_800_000_000_000,
            counter: 2,
            node: 77,
        },
        based_on: Hlc {
            wall_ms: 1_700_000_000_000,
            counter: 0,
            node: 78,
        },
        time: Timestamp(-1),
        clock: ClockState::Holdover,
        actor,
        record: RecordRef { kind, id: B },
        body,
    }
}

fn alert_bodies() -> Vec<(&'static str, AlertEvent)> {
    let raised = AlertRaised {
        rule: "pump hot".into(),
        sensor: SensorId(B),
        sensor_path: "pump/temperature".into(),
        asset: Some("P-101".into()),
        title: "Pump P-101 is hot".into(),
        severity: Severity::High,
        direction: Direction::High,
        limit: 80.0,
        value: 81.5,
        unit: "Cel".into(),
        since: Timestamp(1),
    };
    let note = Some("seen".into());
    let text = "who is there?".into();
    vec![
        ("alert_raised", AlertEvent::Raised(raised)),
        ("alert_acknowledged", AlertEvent::Acknowledged { note }),
        ("alert_cleared", AlertEvent::Cleared { value: Some(70.0) }),
        ("alert_commented", AlertEvent::Commented { text }),
        ("alert_peaked", AlertEvent::Peaked { value: 90.25 }),
    ]
}

fn order_created() -> WorkOrderCreated {
    WorkOrderCreated {
        number: "B2-0417".into(),
        title: "Pump is hot".into(),
        description: "See the snapshot".into(),
        work_type: WorkType::Emergency,
        priority: 1,
        asset: Some("P-101".into()),
        alert: Some(AlertId(A)),
        dedupe_key: Some("P-101|hot".into()),
        requested: true,
    }
}

fn order_beginnings() -> Vec<(&'static str, WorkOrderEvent)> {
    use WorkOrderEvent as E;
    let reason = String::from("because");
    let note = Some(String::from("well"));
    let field = E::FieldSet;
    vec![
        ("order_created", E::Created(order_created())),
        ("order_title_set", field(FieldValue::Title("hot".into()))),
        (
            "order_description_set",
            field(FieldValue::Description("x".into())),
        ),
        ("order_priority_set", field(FieldValue::Priority(2))),
        ("order_due_set", field(FieldValue::Due(Some(Timestamp(9))))),
        ("order_asset_set", field(FieldValue::Asset(None))),
        (
            "order_assigned",
            E::Assigned {
                name: "Bo".into(),
                user: Some(UserId(B)),
            },
        ),
        ("order_unassigned", E::Unassigned),
        ("order_approved", E::Approved),
        ("order_rejected", E::Rejected { reason }),
        (
            "order_scheduled",
            E::Scheduled {
                start: Timestamp(5),
                end: Some(Timestamp(6)),
            },
        ),
        ("order_started", E::Started),
        (
            "order_held",
            E::Held {
                reason: HoldReason::Other,
                note,
            },
        ),
        ("order_resumed", E::Resumed),
    ]
}

fn order_bodies() -> Vec<(&'static str, WorkOrderEvent)> {
    use WorkOrderEvent as E;
    let reason = || String::from("because");
    let note = || Some(String::from("well"));
    let snapshot = Snapshot {
        sensor: SensorId(B),
        sensor_path: "pump/temperature".into(),
        unit: "Cel".into(),
        limit: Some(80.0),
        points: vec![(Timestamp(1), 79.5), (Timestamp(2), 81.5)],
    };
    let mut bodies = order_beginnings();
    bodies.extend([
        ("order_done", E::Done { remedy: note() }),
        ("order_closed", E::Closed { note: note() }),
        ("order_reopened", E::Reopened { reason: reason() }),
        ("order_cancelled", E::Cancelled { reason: reason() }),
        (
            "order_marked_duplicate",
            E::MarkedDuplicate { of: WorkOrderId(A) },
        ),
        ("order_commented", E::Commented { text: reason() }),
        (
            "order_labour",
            E::LabourAdded {
                minutes: 300,
                note: note(),
            },
        ),
        (
            "order_part",
            E::PartUsed {
                part: "seal".into(),
                quantity: -1.0,
            },
        ),
        (
            "order_alarm_occurred",
            E::AlarmOccurred { alert: AlertId(A) },
        ),
        ("order_alarm_cleared", E::AlarmCleared { alert: AlertId(A) }),
        ("order_snapshot", E::SnapshotAdded(snapshot)),
        ("order_reviewed", E::Reviewed { note: None }),
        (
            "order_attached",
            E::Attached(Attached {
                hash: ContentHash([0xAB; 32]),
                name: "pump.jpg".into(),
                media_type: "image/jpeg".into(),
                bytes: 300_000,
                note: note(),
            }),
        ),
    ]);
    bodies
}

fn gateway_bodies() -> Vec<(&'static str, GatewayEvent)> {
    let version = "0.1.0".into();
    let gap = GatewayEvent::Gap {
        from: Timestamp(1),
        to: Timestamp(2),
        polls: 128,
        cause: GapCause::AgentOff,
    };
    vec![
        ("gateway_started", GatewayEvent::Started { version }),
        ("gateway_gap", gap),
        (
            "gateway_configured",
            GatewayEvent::Configured { version: 300 },
        ),
        (
            "gateway_commanded",
            GatewayEvent::Commanded {
                command: A,
                task: "restart".into(),
            },
        ),
        (
            "gateway_worded",
            GatewayEvent::Worded {
                sensor: SensorId(B),
                words: vec![(0, Some("stopped".into())), (1 << 47, None)],
            },
        ),
        (
            "gateway_wrote",
            GatewayEvent::Wrote {
                device: "pump-7".into(),
                place: "setpoint".into(),
                value: "21.5".into(),
                outcome: Some("kept".into()),
            },
        ),
        (
            "gateway_signed_in",
            GatewayEvent::Access(Access::SignedIn {
                bundle: 7,
                role: Role::Engineer,
                overdue: true,
            }),
        ),
        (
            "gateway_signed_out",
            GatewayEvent::Access(Access::SignedOut),
        ),
        (
            "gateway_locked_out",
            GatewayEvent::Access(Access::LockedOut {
                address: "10.0.0.7".into(),
            }),
        ),
        (
            "gateway_bundle_taken",
            GatewayEvent::Access(Access::BundleTaken {
                number: 7,
                valid_until: Timestamp(1_000_001),
            }),
        ),
    ]
}

/// What work on an order leaves behind.
fn work_bodies() -> Vec<(&'static str, Body)> {
    use WorkOrderEvent as E;
    let note = || Some(String::from("well"));
    let answer = |value| {
        E::TaskAnswered(TaskAnswer {
            task: A,
            value,
            note: note(),
        })
    };
    let orders = [
        ("order_tasks_added", tasks_added()),
        ("order_task_check", answer(TaskValue::Check(true))),
        ("order_task_number", answer(TaskValue::Number(1.5))),
        ("order_task_text", answer(TaskValue::Text("dry".into()))),
        ("order_task_choice", answer(TaskValue::Choice("low".into()))),
        (
            "order_task_photo",
            answer(TaskValue::Photo(ContentHash([0xAB; 32]))),
        ),
        ("order_task_skipped", answer(TaskValue::Skipped)),
        (
            "order_task_cleared",
            E::TaskCleared {
                task: A,
                reason: note(),
            },
        ),
        ("order_failure", E::FailureReported(failure_report())),
        (
            "order_failure_empty",
            E::FailureReported(FailureReport::default()),
        ),
        ("order_labour_started", E::LabourStarted),
        ("order_labour_stopped", E::LabourStopped { note: note() }),
        (
            "order_part_moved",
            E::PartMoved(PartMoved {
                part: "6204".into(),
                name: "Bearing".into(),
                quantity: 2.0,
                place: Some("A-3".into()),
            }),
        ),
        (
            "order_signed",
            E::Signed(Signed {
                meaning: SignedFor::Witnessed,
                method: SignedBy::Name,
                digest: ContentHash([0xCD; 32]),
                task: Some(A),
                note: note(),
            }),
        ),
        ("order_verified", E::Verified { note: note() }),
        (
            "order_followed_up",
            E::FollowedUp {
                order: WorkOrderId(B),
                number: "B2-0418".into(),
                task: Some(A),
            },
        ),
    ];
    let orders = orders.map(|(name, body)| (name, Body::WorkOrder(body)));
    orders.into_iter().chain(site_bodies()).collect()
}

fn failure_report() -> FailureReport {
    FailureReport {
        problem: Some("leaks".into()),
        cause: Some("seal worn".into()),
        remedy: Some("new seal".into()),
        problem_code: Some("ELP".into()),
        cause_code: Some("2.4".into()),
        remedy_code: Some("1".into()),
        effect: Some(FailureEffect::Environment),
        downtime_minutes: Some(300),
    }
}

fn tasks_added() -> WorkOrderEvent {
    let kinds = [
        TaskKind::Check,
        TaskKind::Number {
            unit: "bar".into(),
            low: Some(1.0),
            high: None,
        },
        TaskKind::Text,
        TaskKind::Choice {
            choices: vec![TaskChoice {
                text: "low".into(),
                good: false,
            }],
        },
        TaskKind::Photo,
        TaskKind::Signature,
    ];
    let task = |kind| TaskNew {
        id: A,
        title: "Look at it".into(),
        kind,
        required: true,
    };
    WorkOrderEvent::TasksAdded(TasksAdded {
        checklist: Some(ChecklistRef {
            id: "pump-monthly".into(),
            version: 300,
            title: "Pump, monthly".into(),
        }),
        tasks: kinds.map(task).into(),
    })
}

/// What people on the spot tell of the site itself.
fn site_bodies() -> Vec<(&'static str, Body)> {
    let note = || Some(String::from("well"));
    let proposed = AssetProposed {
        tag: "P-900".into(),
        name: "Pump".into(),
        parent: Some("H-2".into()),
        note: note(),
    };
    let tag = || String::from("P-900");
    let moved = StockMove {
        part: "6204".into(),
        name: "Bearing".into(),
        quantity: -2.0,
        order: Some(WorkOrderId(A)),
        place: Some("A-3".into()),
        note: note(),
    };
    let counted = StockEvent::Counted {
        part: "6204".into(),
        name: "Bearing".into(),
        quantity: 7.0,
        note: None,
    };
    let assets = [
        ("asset_proposed", AssetEvent::Proposed(proposed)),
        ("asset_accepted", AssetEvent::Accepted { tag: tag() }),
        ("asset_merged", AssetEvent::Merged { into: tag() }),
        (
            "asset_refused",
            AssetEvent::Refused {
                reason: "a shadow".into(),
            },
        ),
    ];
    let stock = [
        ("stock_moved", StockEvent::Moved(moved)),
        ("stock_counted", counted),
    ];
    let assets = assets.map(|(name, body)| (name, Body::Asset(body)));
    let stock = stock.map(|(name, body)| (name, Body::Stock(body)));
    assets.into_iter().chain(stock).collect()
}

fn events() -> Vec<(&'static str, Event)> {
    let unknown = Body::Unknown {
        kind: 900,
        version: 3,
        bytes: vec![1, 2, 3],
    };
    let mut all = Vec::new();
    all.extend(
        alert_bodies()
            .into_iter()
            .map(|(name, body)| (name, Body::Alert(body))),
    );
    all.extend(
        order_bodies()
            .into_iter()
            .map(|(name, body)| (name, Body::WorkOrder(body))),
    );
    all.extend(
        gateway_bodies()
            .into_iter()
            .map(|(name, body)| (name, Body::Gateway(body))),
    );
    all.extend(work_bodies());
    all.push(("unknown", unknown));
    all.into_iter()
        .map(|(name, body)| (name, event(body)))
        .collect()
}

#[test]
fn messages_are_as_released() {
    let values: Vec<_> = control()
        .into_iter()
        .chain(offers())
        .chain(data())
        .chain(files())
        .chain(contents())
        .chain(down_lane())
        .collect();
    let built: Vec<_> = values
        .iter()
        .map(|(name, value)| (*name, value.encode().unwrap()))
        .collect();
    let golden = same_as_golden("messages_v1.hex", &built);
    for ((name, value), bytes) in values.iter().zip(golden) {
        assert_eq!(
            Message::decode(&frame(&bytes)).as_ref(),
            Ok(value),
            "{name}"
        );
    }
}

#[test]
fn events_are_as_released() {
    let values = events();
    let built: Vec<_> = values
        .iter()
        .map(|(name, value)| (*name, encode_event(value).unwrap()))
        .collect();
    let golden = same_as_golden("events_v1.hex", &built);
    for ((name, value), bytes) in values.iter().zip(golden) {
        assert_eq!(decode_event(&bytes).as_ref(), Ok(value), "{name}");
    }
}

#[test]
fn documents_are_as_released() {
    let bundle = crate::bundle::tests::bundle();
    let claim = Claim {
        token: [7; 16],
        authority: [9; 32],
        replaces: false,
    };
    let built = [
        ("schema", encode_schema(&schema()).unwrap()),
        ("catalog", encode_catalog(&catalog()).unwrap()),
        ("claim", claim.to_string().into_bytes()),
        ("bundle", encode_bundle(&bundle).unwrap()),
    ];
    let golden = same_as_golden("documents_v1.hex", &built);
    assert_eq!(decode_schema(&golden[0]), Ok(schema()));
    assert_eq!(decode_catalog(&golden[1]), Ok(catalog()));
    let text = String::from_utf8(golden[2].clone()).unwrap();
    assert_eq!(Claim::parse(&text), Ok(claim));
    assert_eq!(decode_bundle(&golden[3]), Ok(bundle));
}

/// The numbers of the variants, written down a second time: a variant that is moved or put in
/// between fails here, a new one does not compile until it has its number.
fn alert_number(body: &AlertEvent) -> u8 {
    match body {
        AlertEvent::Raised(_) => 0,
        AlertEvent::Acknowledged { .. } => 1,
        AlertEvent::Cleared { .. } => 2,
        AlertEvent::Commented { .. } => 3,
        AlertEvent::Peaked { .. } => 4,
        AlertEvent::Described(_) => 5,
        AlertEvent::Notified(_) => 6,
        AlertEvent::Superseded { .. } => 7,
        AlertEvent::Reset { .. } => 8,
        AlertEvent::Realarmed => 9,
    }
}

fn order_number(body: &WorkOrderEvent) -> u8 {
    use WorkOrderEvent as E;
    match body {
        E::Created(_) => 0,
        E::FieldSet(_) => 1,
        E::Assigned { .. } => 2,
        E::Unassigned => 3,
        E::Approved => 4,
        E::Rejected { .. } => 5,
        E::Scheduled { .. } => 6,
        E::Started => 7,
        E::Held { .. } => 8,
        E::Resumed => 9,
        E::Done { .. } => 10,
        E::Closed { .. } => 11,
        E::Reopened { .. } => 12,
        E::Cancelled { .. } => 13,
        E::MarkedDuplicate { .. } => 14,
        E::Commented { .. } => 15,
        E::LabourAdded { .. } => 16,
        E::PartUsed { .. } => 17,
        E::AlarmOccurred { .. } => 18,
        E::AlarmCleared { .. } => 19,
        E::SnapshotAdded(_) => 20,
        E::Reviewed { .. } => 21,
        E::Attached(_) => 22,
        E::TasksAdded(_) => 23,
        E::TaskAnswered(_) => 24,
        E::TaskCleared { .. } => 25,
        E::FailureReported(_) => 26,
        E::LabourStarted => 27,
        E::LabourStopped { .. } => 28,
        E::PartMoved(_) => 29,
        E::Signed(_) => 30,
        E::Verified { .. } => 31,
        E::FollowedUp { .. } => 32,
    }
}

fn gateway_number(body: &GatewayEvent) -> u8 {
    match body {
        GatewayEvent::Started { .. } => 0,
        GatewayEvent::Gap { .. } => 1,
        GatewayEvent::Configured { .. } => 2,
        GatewayEvent::Commanded { .. } => 3,
        GatewayEvent::Worded { .. } => 4,
        GatewayEvent::Wrote { .. } => 5,
        GatewayEvent::Access(_) => 6,
    }
}

fn asset_number(body: &AssetEvent) -> u8 {
    match body {
        AssetEvent::Proposed(_) => 0,
        AssetEvent::Accepted { .. } => 1,
        AssetEvent::Merged { .. } => 2,
        AssetEvent::Refused { .. } => 3,
    }
}

const fn stock_number(body: &StockEvent) -> u8 {
    match body {
        StockEvent::Moved(_) => 0,
        StockEvent::Counted { .. } => 1,
    }
}

#[test]
fn the_numbers_of_what_work_leaves_behind_are_pinned() {
    for (name, body) in site_bodies() {
        match body {
            Body::Asset(body) => assert_eq!(first_byte(&body), asset_number(&body), "{name}"),
            Body::Stock(body) => assert_eq!(first_byte(&body), stock_number(&body), "{name}"),
            _ => panic!("{name} is of another record"),
        }
    }
    let WorkOrderEvent::TasksAdded(added) = tasks_added() else {
        panic!("not the tasks");
    };
    let kinds: Vec<_> = added.tasks.into_iter().map(|task| task.kind).collect();
    numbered_from_0(&kinds);
    numbered_from_0(&[
        TaskValue::Check(true),
        TaskValue::Number(0.0),
        TaskValue::Text(String::new()),
        TaskValue::Choice(String::new()),
        TaskValue::Photo(ContentHash([0; 32])),
        TaskValue::Skipped,
    ]);
    numbered_from_0(&[
        FailureEffect::None,
        FailureEffect::Reduced,
        FailureEffect::Stopped,
        FailureEffect::Quality,
        FailureEffect::Safety,
        FailureEffect::Environment,
    ]);
    numbered_from_0(&SignedFor::ALL);
    numbered_from_0(&[SignedBy::Pin, SignedBy::Password, SignedBy::Name]);
}

fn first_byte<T: Serialize>(value: &T) -> u8 {
    to_bytes("a test value", value).unwrap()[0]
}

fn numbered_from_0<T: Serialize>(values: &[T]) {
    for (expected, value) in (0_u8..).zip(values) {
        assert_eq!(first_byte(value), expected);
    }
}

#[test]
fn the_numbers_of_variants_are_pinned() {
    for (_, body) in alert_bodies() {
        assert_eq!(first_byte(&body), alert_number(&body));
    }
    let mut last = 0;
    let work = work_bodies()
        .into_iter()
        .filter_map(|(name, body)| match body {
            Body::WorkOrder(body) => Some((name, body)),
            _ => None,
        });
    for (name, body) in order_bodies().into_iter().chain(work) {
        assert_eq!(first_byte(&body), order_number(&body), "{name}");
        last = last.max(order_number(&body));
    }
    assert_eq!(last, 32, "every variant has a golden event");
    for (_, body) in gateway_bodies() {
        assert_eq!(first_byte(&body), gateway_number(&body));
    }
    numbered_from_0(&[
        FieldValue::Title(String::new()),
        FieldValue::Description(String::new()),
        FieldValue::Priority(0),
        FieldValue::Due(None),
        FieldValue::Asset(None),
    ]);
    numbered_from_0(&[Origin::Gateway(GatewayId(A)), Origin::Hub]);
    numbered_from_0(&[
        Severity::Low,
        Severity::Medium,
        Severity::High,
        Severity::Critical,
    ]);
    numbered_from_0(&[Direction::High, Direction::Low]);
    numbered_from_0(&[RawKind::Int, RawKind::Uint64, RawKind::Float]);
    numbered_from_0(&[
        WorkType::Corrective,
        WorkType::Preventive,
        WorkType::Predictive,
        WorkType::Inspection,
        WorkType::Calibration,
        WorkType::Improvement,
        WorkType::Safety,
        WorkType::Emergency,
    ]);
    numbered_from_0(&[
        HoldReason::Material,
        HoldReason::Plant,
        HoldReason::Access,
        HoldReason::Permit,
        HoldReason::Vendor,
        HoldReason::Other,
    ]);
    numbered_from_0(&[
        GapCause::QueueFull,
        GapCause::BufferFull,
        GapCause::StoreDamaged,
        GapCause::AgentOff,
        GapCause::Thinned,
    ]);
}

#[test]
fn what_a_newer_build_wrote_is_kept_and_passed_on_unchanged() {
    // Another kind, another version of a known kind, and a variant that this build lacks.
    for (kind, version, bytes) in [(900, 1, vec![]), (2, 2, vec![7]), (1, 1, vec![99, 1])] {
        let event = event(Body::Unknown {
            kind,
            version,
            bytes,
        });
        let sent = encode_event(&event).unwrap();
        let got = decode_event(&sent).unwrap();
        assert_eq!(got, event);
        assert_eq!(encode_event(&got).unwrap(), sent);
    }
    let mut other = event(Body::Gateway(GatewayEvent::Started {
        version: String::new(),
    }));
    other.record.kind = RecordKind::Other(200);
    assert_eq!(
        decode_event(&encode_event(&other).unwrap()),
        Ok(other),
        "a record of a kind that this build lacks"
    );
    let strange = Frame {
        kind: 900,
        version: 1,
        body: vec![1],
    };
    let unknown = Message::Unknown {
        kind: 900,
        version: 1,
    };
    assert_eq!(Message::decode(&strange), Ok(unknown.clone()));
    assert!(unknown.encode().is_err(), "only the frame can be relayed");
    let newer = Frame {
        kind: 1,
        version: 2,
        body: vec![],
    };
    assert!(matches!(
        Message::decode(&newer),
        Ok(Message::Unknown {
            kind: 1,
            version: 2
        })
    ));
}

#[test]
fn bytes_left_over_or_missing_are_an_error() {
    for (name, message) in control()
        .into_iter()
        .chain(offers())
        .chain(data())
        .chain(files())
        .chain(contents())
    {
        let whole = frame(&message.encode().unwrap());
        for body in [
            [whole.body.as_slice(), &[0]].concat(),
            whole.body[..whole.body.len() - 1].to_vec(),
        ] {
            let broken = Frame { body, ..whole };
            let bad = WireError::BadBody {
                kind: broken.kind,
                version: 1,
            };
            assert_eq!(Message::decode(&broken), Err(bad), "{name}");
        }
    }
    for (name, event) in events() {
        let mut bytes = encode_event(&event).unwrap();
        bytes.push(0);
        assert!(decode_event(&bytes).is_err(), "{name}");
    }
}

#[test]
fn lists_and_bodies_over_their_limits_are_refused() {
    let mut over = reference();
    over.people = vec![(A, String::new()); crate::limits::PEOPLE_MAX + 1];
    let events = EventsV1 {
        incarnation: 2,
        first_seq: 1,
        events: vec![vec![]; crate::limits::EVENTS_PER_FRAME_MAX + 1],
    };
    let offered = OfferedContentV1 {
        hash: ContentHash([0; 32]),
        bytes: 1,
    };
    let contents = ContentsV1 {
        contents: vec![offered; crate::limits::CONTENTS_PER_OFFER_MAX + 1],
    };
    for message in [
        Message::Reference(over),
        Message::Events(events),
        Message::Contents(contents),
    ] {
        let bytes = message.encode().unwrap();
        assert!(matches!(
            Message::decode(&frame(&bytes)),
            Err(WireError::BadBody { .. })
        ));
    }
    let long = event(Body::Unknown {
        kind: 900,
        version: 1,
        bytes: vec![0; crate::limits::EVENT_BODY_BYTES_MAX + 1],
    });
    assert!(matches!(
        encode_event(&long),
        Err(WireError::OverLimit { .. })
    ));
    let whole = Frame {
        kind: 1,
        version: 1,
        body: vec![0; crate::limits::FRAME_BYTES_MAX - 2],
    };
    assert!(matches!(whole.encode(), Err(WireError::OverLimit { .. })));
}
