//! A store with one enrolled gateway, and facts to bring to it. For tests only.

use super::{CertificateRow, Ingest, NewClaim, Store};
use crate::tenants::TenantScope;
use protocol::block;
use protocol::catalog::{Catalog, Sensor};
use protocol::event::{
    Actor, AlertEvent, AlertRaised, Body, Direction, Event, RecordRef, Severity, WorkOrderCreated,
    WorkOrderEvent, WorkType,
};
use protocol::id::{
    AlertId, DeviceId, EventId, GatewayId, Origin, SensorId, StreamId, WorkOrderId,
};
use protocol::reading::{Cell, Column, GroupSchema, Poll, Quality, Raw, RawKind};
use protocol::time::{ClockState, Hlc, Timestamp};
use protocol::unit::Unit;
use protocol::wire;
use uuid::Uuid;

/// The incarnation that the test's gateway writes in.
pub(crate) const INCARNATION: u32 = 7;
/// The stream that the test's gateway writes.
pub(crate) const STREAM: StreamId = StreamId(1);
/// When poll 0 would have been.
pub(crate) const START: Timestamp = Timestamp(1_795_236_000_000_000);

/// A store in a folder that goes with it.
pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) scope: TenantScope,
    pub(crate) gateway: GatewayId,
    pub(crate) folder: tempfile::TempDir,
}

impl Fixture {
    /// A new store with one gateway, whose stream is known.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let scope = store.default_tenant();
        let gateway = gateway_id(1);
        enrol(&store, scope, gateway, "B1").await;
        let fixture = Self {
            store,
            scope,
            gateway,
            folder,
        };
        let batch = Ingest {
            schemas: vec![(INCARNATION, STREAM, wire::encode_schema(&schema()).unwrap())],
            ..Ingest::default()
        };
        fixture.store.ingest(scope, gateway, batch).await.unwrap();
        fixture
    }

    /// A store whose gateway has told its sensors as well.
    pub(crate) async fn with_catalog() -> Self {
        let fixture = Self::new().await;
        let batch = Ingest {
            catalog: Some(wire::encode_catalog(&catalog()).unwrap()),
            ..Ingest::default()
        };
        fixture
            .store
            .ingest(fixture.scope, fixture.gateway, batch)
            .await
            .unwrap();
        fixture
    }

    /// Brings blocks.
    pub(crate) async fn bring(&self, blocks: Vec<Vec<u8>>) -> super::Ingested {
        let batch = Ingest {
            blocks: blocks.into_iter().map(|body| (INCARNATION, body)).collect(),
            ..Ingest::default()
        };
        self.store
            .ingest(self.scope, self.gateway, batch)
            .await
            .unwrap()
    }

    /// Brings events.
    pub(crate) async fn tell(&self, events: Vec<Event>) -> super::Ingested {
        let batch = Ingest {
            events,
            ..Ingest::default()
        };
        self.store
            .ingest(self.scope, self.gateway, batch)
            .await
            .unwrap()
    }

    /// The store, closed and opened again.
    pub(crate) fn reopen(&mut self) {
        self.store = Store::open(self.folder.path()).unwrap();
    }
}

/// The id of gateway `number`.
pub(crate) fn gateway_id(number: u128) -> GatewayId {
    GatewayId(Uuid::from_u128(0xB0_0000 + number))
}

/// Makes a gateway by way of a claim.
pub(crate) async fn enrol(store: &Store, scope: TenantScope, gateway: GatewayId, code: &str) {
    let token_sha256 = [code.as_bytes()[1]; 32];
    let now = crate::clock::now();
    let claim = NewClaim {
        token_sha256,
        site: "Plant".to_owned(),
        gateway_name: format!("Box {code}"),
        gateway_code: code.to_owned(),
        expires: now.plus_micros(1_000_000),
    };
    store.add_claim(scope, claim).await.unwrap();
    store
        .redeem(token_sha256, gateway, [9; 32], now)
        .await
        .unwrap();
    let certificate = CertificateRow {
        scope,
        gateway,
        fingerprint: token_sha256,
        serial: vec![1],
        not_after: now,
        revoked: None,
        authority: None,
    };
    store.add_certificate(certificate).await.unwrap();
}

/// The sensors of the stream.
pub(crate) fn sensors() -> [SensorId; 2] {
    [
        SensorId(Uuid::from_u128(0x5001)),
        SensorId(Uuid::from_u128(0x5002)),
    ]
}

/// What the stream's columns mean.
pub(crate) fn schema() -> GroupSchema {
    let column = |sensor| Column {
        sensor,
        raw: RawKind::Int,
        scale: 0.5,
        offset: 0.0,
    };
    GroupSchema {
        name: "press @ 1 s".to_owned(),
        period_us: 1_000_000,
        columns: sensors().into_iter().map(column).collect(),
    }
}

/// What the gateway measures.
pub(crate) fn catalog() -> Catalog {
    let sensor = |(number, id)| Sensor {
        id,
        device: DeviceId(Uuid::nil()),
        path: format!("press/{number}"),
        asset: None,
        unit: Unit::parse("degC"),
        range: Some((0.0, 100.0)),
        period_us: 1_000_000,
        limits: Vec::new(),
    };
    Catalog {
        sensors: sensors().into_iter().enumerate().map(sensor).collect(),
        ..Catalog::default()
    }
}

/// When poll `seq` was.
pub(crate) fn poll_time(seq: u64) -> Timestamp {
    START.plus_micros(i64::try_from(seq).unwrap() * 1_000_000)
}

/// Poll `seq`: the first sensor counts, the second one is silent every other time.
pub(crate) fn poll(seq: u64) -> Poll {
    let value = |raw: u64| Cell::Value(Raw::Int(i64::try_from(raw).unwrap()), Quality::Good);
    Poll {
        time: poll_time(seq),
        clock: ClockState::Synchronised,
        cells: vec![
            value(seq * 2),
            if seq.is_multiple_of(2) {
                Cell::Skipped
            } else {
                value(5)
            },
        ],
    }
}

/// The block with polls `first..=last`.
pub(crate) fn block(first: u64, last: u64) -> Vec<u8> {
    let polls: Vec<Poll> = (first..=last).map(poll).collect();
    block::encode(STREAM, first, &polls).unwrap()
}

/// An event of the gateway.
pub(crate) fn event(gateway: GatewayId, seq: u64, record: RecordRef, body: Body) -> Event {
    Event {
        id: EventId(Uuid::from_u128(
            (gateway.0.as_u128() << 32) + u128::from(seq),
        )),
        origin: Origin::Gateway(gateway),
        incarnation: INCARNATION,
        seq,
        hlc: Hlc {
            wall_ms: 1_763_700_000_000 + seq,
            counter: 0,
            node: 1,
        },
        based_on: Hlc::default(),
        time: poll_time(seq),
        clock: ClockState::Synchronised,
        actor: Actor::System("temperature high".to_owned()),
        record,
        body,
    }
}

/// The beginning of an alert.
pub(crate) fn raised(gateway: GatewayId, seq: u64, alert: AlertId, severity: Severity) -> Event {
    let raised = AlertRaised {
        rule: "high".to_owned(),
        sensor: sensors()[0],
        sensor_path: "press/temperature".to_owned(),
        asset: Some("P-1".to_owned()),
        title: "Temperature high".to_owned(),
        severity,
        direction: Direction::High,
        limit: 80.0,
        value: 90.0,
        unit: "Cel".to_owned(),
        since: START,
    };
    event(
        gateway,
        seq,
        alert.into(),
        Body::Alert(AlertEvent::Raised(raised)),
    )
}

/// The beginning of a work order.
pub(crate) fn created(gateway: GatewayId, seq: u64, order: WorkOrderId, title: &str) -> Event {
    let created = WorkOrderCreated {
        number: format!("B1-{seq:04}"),
        title: title.to_owned(),
        description: String::new(),
        work_type: WorkType::Corrective,
        priority: 2,
        asset: Some("P-1".to_owned()),
        alert: None,
        dedupe_key: Some("P-1|high".to_owned()),
        requested: false,
    };
    event(
        gateway,
        seq,
        order.into(),
        Body::WorkOrder(WorkOrderEvent::Created(created)),
    )
}
