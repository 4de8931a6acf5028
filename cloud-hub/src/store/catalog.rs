//! What gateways measure: catalogs, sensors, and what the columns of their streams mean.
//! A sensor that is gone from a catalog stays, with its readings.

use super::error::{Doing as _, StoreError};
use super::page::{Keyed, Listed, Page};
use super::{Store, latest, sql, words};
use crate::tenants::TenantScope;
use protocol::catalog::{Catalog, Limit, Sensor};
use protocol::id::{GatewayId, SensorId, StreamId};
use protocol::limits::STREAMS_MAX;
use protocol::reading::{GroupSchema, Reading};
use protocol::unit::Unit;
use protocol::view::Named;
use protocol::wire::{self, WireError};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

/// Which sensors.
#[derive(Clone, Debug, Default)]
pub struct SensorFilter {
    /// Only those of this gateway.
    pub gateway: Option<GatewayId>,
    /// Only those with this text in their path or asset.
    pub text: Option<String>,
}

/// A sensor.
#[derive(Clone, Debug, PartialEq)]
pub struct SensorRow {
    /// What its gateway's catalog says.
    pub sensor: Sensor,
    /// Name of its device.
    pub device: String,
    /// Its gateway.
    pub gateway: Named<GatewayId>,
    /// Whether the gateway still measures it.
    pub in_catalog: bool,
    /// Its newest reading.
    pub latest: Option<Reading>,
    /// The word of that reading, if it has one.
    pub text: Option<String>,
}

impl SensorRow {
    fn look_up(
        &mut self,
        latest: &latest::Latest,
        sql: &Connection,
        scope: TenantScope,
    ) -> Result<(), StoreError> {
        self.latest = latest::of(latest, sql, scope, self.sensor.id)?;
        if let Some(reading) = &self.latest {
            self.text = words::of(sql, scope, reading)?;
        }
        Ok(())
    }
}

impl Keyed for SensorRow {
    fn key(&self) -> (String, Uuid) {
        (self.sensor.path.clone(), self.sensor.id.0)
    }
}

const SENSOR_COLUMNS: &str = "
    SELECT s.id, s.device_id, s.device, s.path, s.asset, s.unit, s.range_low, s.range_high,
        s.period_us, s.limits, s.in_catalog, g.id, g.name
    FROM sensor AS s JOIN gateway AS g ON g.tenant_id = s.tenant_id AND g.id = s.gateway_id
    WHERE s.tenant_id = ?1";

impl Store {
    /// The sensors that are measured, by path, each with its newest reading.
    pub async fn sensors(
        &self,
        scope: TenantScope,
        filter: SensorFilter,
        page: Page,
    ) -> Result<Listed<SensorRow>, StoreError> {
        let latest = std::sync::Arc::clone(&self.latest);
        self.engine
            .read(move |sql| {
                let (path, id) = page.after()?.unwrap_or_default();
                let text = filter.text.as_deref().map(super::lists::like);
                let query = format!(
                    "{SENSOR_COLUMNS} AND s.in_catalog = 1 AND (s.path, s.id) > (?2, ?3)
                    AND (?4 IS NULL OR s.gateway_id = ?4)
                    AND (?5 IS NULL OR s.path LIKE ?5 ESCAPE '\\' OR s.asset LIKE ?5 ESCAPE '\\')
                    ORDER BY s.path, s.id LIMIT ?6"
                );
                let gateway = filter.gateway.map(|gateway| gateway.0.into_bytes());
                let parameters = params![
                    scope.key(),
                    path,
                    id.into_bytes(),
                    gateway,
                    text,
                    page.rows_to_read()
                ];
                let mut rows: Vec<SensorRow> = sql
                    .prepare_cached(&query)
                    .and_then(|mut query| query.query_map(parameters, sensor_row)?.collect())
                    .doing("list the sensors")?;
                for row in &mut rows {
                    row.look_up(&latest, sql, scope)?;
                }
                Ok(page.list(rows))
            })
            .await
    }

    /// One sensor, also one that is no longer measured.
    pub async fn sensor(
        &self,
        scope: TenantScope,
        sensor: SensorId,
    ) -> Result<SensorRow, StoreError> {
        let latest = std::sync::Arc::clone(&self.latest);
        self.engine
            .read(move |sql| {
                let mut row = sql
                    .prepare_cached(&format!("{SENSOR_COLUMNS} AND s.id = ?2"))
                    .and_then(|mut query| {
                        query
                            .query_row((scope.key(), sensor.0.into_bytes()), sensor_row)
                            .optional()
                    })
                    .doing("read a sensor")?
                    .ok_or(StoreError::NotFound { what: "sensor" })?;
                row.look_up(&latest, sql, scope)?;
                Ok(row)
            })
            .await
    }
}

fn sensor_row(row: &Row<'_>) -> rusqlite::Result<SensorRow> {
    let low: Option<f64> = row.get(6)?;
    let high: Option<f64> = row.get(7)?;
    let unit: String = row.get(5)?;
    let limits: String = row.get(9)?;
    // Written by this file alone; an unreadable text shows as no limits, never as an error page.
    let limits: Vec<Limit> = serde_json::from_str(&limits).unwrap_or_default();
    Ok(SensorRow {
        sensor: Sensor {
            id: sql::id(row, 0)?,
            device: sql::id(row, 1)?,
            path: row.get(3)?,
            asset: row.get(4)?,
            unit: Unit::parse(&unit),
            range: low.zip(high),
            period_us: sql::uint(row.get(8)?),
            limits,
        },
        device: row.get(2)?,
        gateway: Named {
            id: sql::id(row, 11)?,
            name: row.get(12)?,
        },
        in_catalog: row.get(10)?,
        latest: None,
        text: None,
    })
}

/// Takes over a gateway's catalog as a whole.
pub(super) fn replace(
    sql: &Connection,
    scope: TenantScope,
    gateway: GatewayId,
    (catalog, bytes): (&Catalog, &[u8]),
) -> Result<(), StoreError> {
    let (key, id) = (scope.key(), gateway.0.into_bytes());
    sql.execute(
        "UPDATE gateway SET catalog = ?3 WHERE tenant_id = ?1 AND id = ?2",
        params![key, id, bytes],
    )
    .doing("keep a catalog")?;
    sql.execute(
        "UPDATE sensor SET in_catalog = 0 WHERE tenant_id = ?1 AND gateway_id = ?2",
        (key, id),
    )
    .doing("keep a catalog")?;
    for sensor in &catalog.sensors {
        let device = catalog
            .devices
            .iter()
            .find(|device| device.id == sensor.device)
            .map_or("", |device| device.name.as_str());
        put_sensor(sql, scope, gateway, (device, sensor))?;
    }
    Ok(())
}

fn put_sensor(
    sql: &Connection,
    scope: TenantScope,
    gateway: GatewayId,
    (device, sensor): (&str, &Sensor),
) -> Result<(), StoreError> {
    let limits = serde_json::to_string(&sensor.limits).unwrap_or_default();
    // Of another gateway's sensor with this id nothing is changed: ids derive from the gateway.
    sql.prepare_cached(
        "INSERT INTO sensor (tenant_id, id, gateway_id, device_id, device, path, asset, unit,
            range_low, range_high, period_us, limits, in_catalog)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 1)
        ON CONFLICT DO UPDATE SET device_id = excluded.device_id, device = excluded.device,
            path = excluded.path, asset = excluded.asset, unit = excluded.unit,
            range_low = excluded.range_low, range_high = excluded.range_high,
            period_us = excluded.period_us, limits = excluded.limits, in_catalog = 1
        WHERE sensor.gateway_id = excluded.gateway_id",
    )
    .and_then(|mut query| {
        query.execute(params![
            scope.key(),
            sensor.id.0.into_bytes(),
            gateway.0.into_bytes(),
            sensor.device.0.into_bytes(),
            device,
            sensor.path,
            sensor.asset,
            sensor.unit.code(),
            sensor.range.map(|(low, _)| low),
            sensor.range.map(|(_, high)| high),
            sql::int(sensor.period_us),
            limits
        ])
    })
    .map(|_| ())
    .doing("keep a sensor")
}

/// A stream's meaning as it came.
pub(super) struct NewStream {
    pub(super) incarnation: u32,
    pub(super) stream: StreamId,
    schema: GroupSchema,
    bytes: Vec<u8>,
}

impl NewStream {
    /// Reads a schema.
    pub(super) fn read(
        incarnation: u32,
        stream: StreamId,
        bytes: Vec<u8>,
    ) -> Result<Self, WireError> {
        let schema = wire::decode_schema(&bytes)?;
        Ok(Self {
            incarnation,
            stream,
            schema,
            bytes,
        })
    }
}

/// Keeps a stream whose columns are those of another stream of the gateway, told by their hash;
/// whether there is one.
pub(super) fn add_stream_like(
    sql: &Connection,
    scope: TenantScope,
    gateway: GatewayId,
    ((incarnation, stream), hash): ((u32, StreamId), [u8; 8]),
) -> Result<bool, StoreError> {
    let schema: Option<Vec<u8>> = sql
        .prepare_cached(
            "SELECT schema FROM stream
            WHERE tenant_id = ?1 AND gateway_id = ?2 AND schema_hash = ?3 LIMIT 1",
        )
        .and_then(|mut query| {
            query
                .query_row((scope.key(), gateway.0.into_bytes(), hash), |row| {
                    row.get(0)
                })
                .optional()
        })
        .doing("look for a known schema")?;
    let Some(schema) = schema else {
        return Ok(false);
    };
    let new = NewStream::read(incarnation, stream, schema).doing("a schema")?;
    Ok(add_stream(sql, scope, gateway, &new)?.is_none())
}

/// Keeps a stream's meaning; it never changes once it is known. Reason and words when refused.
pub(super) fn add_stream(
    sql: &Connection,
    scope: TenantScope,
    gateway: GatewayId,
    new: &NewStream,
) -> Result<Option<(&'static str, String)>, StoreError> {
    if new.stream == StreamId::EVENTS {
        let words = "stream 0 is the events; readings begin at stream 1".to_owned();
        return Ok(Some(("stream_zero", words)));
    }
    let name = (new.incarnation, new.stream);
    if let Some(known) = super::blocks::stream_row(sql, scope, gateway, name)? {
        let words = "a stream never changes its columns; a changed group is a new stream";
        return Ok((known.schema != new.schema).then(|| ("schema_changed", words.to_owned())));
    }
    let id = gateway.0.into_bytes();
    let streams: usize = sql
        .query_row(
            "SELECT count(*) FROM stream
            WHERE tenant_id = ?1 AND gateway_id = ?2 AND incarnation = ?3",
            (scope.key(), id, new.incarnation),
            |row| sql::count(row, 0),
        )
        .doing("count streams")?;
    if streams >= STREAMS_MAX {
        let words = format!("a gateway has at most {STREAMS_MAX} streams");
        return Ok(Some(("too_many_streams", words)));
    }
    let columns = i64::try_from(new.schema.columns.len()).unwrap_or(i64::MAX);
    let stream_key: i64 = sql
        .query_row(
            "INSERT INTO stream (tenant_id, gateway_id, incarnation, stream, schema, columns,
                schema_hash)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING stream_key",
            params![
                scope.key(),
                id,
                new.incarnation,
                new.stream.0,
                new.bytes,
                columns,
                wire::schema_hash(&new.bytes)
            ],
            |row| row.get(0),
        )
        .doing("keep a schema")?;
    for (position, column) in (0_i64..).zip(&new.schema.columns) {
        sql.prepare_cached(
            "INSERT INTO stream_column (tenant_id, sensor_id, stream_key, position)
            VALUES (?1, ?2, ?3, ?4)",
        )
        .and_then(|mut query| {
            query.execute((
                scope.key(),
                column.sensor.0.into_bytes(),
                stream_key,
                position,
            ))
        })
        .doing("keep a schema")?;
    }
    Ok(None)
}
