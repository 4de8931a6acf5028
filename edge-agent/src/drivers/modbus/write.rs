//! Writing one value: only where the configuration releases it, between two requests of the poll, read
//! before and after. Never tries a write again: whether it was done is told as it is known.

use super::address::{Address, PointSpec};
use super::config::{DeviceConfig, Point};
use super::data_type::DataType;
use super::decode::{Value, decode};
use super::encode::{encode, mask};
use super::link::{Link, LinkSettings, RequestError};
use super::pdu::{ExceptionCode, Request};
use super::plan::{Block, Item};
use super::release::Release;
use crate::drivers::{WriteError, WriteJob, WritePlace, WriteRequest, Written};
use crate::pipeline::SensorSpec;
use protocol::reading::{Raw, RawKind};
use std::collections::BTreeSet;
use std::time::Instant;
use tokio::sync::mpsc;

/// A raw value this near to a whole number is one: what is left is the rounding of `scale`.
const NEARLY_WHOLE: f64 = 1e-6;

/// What is needed to write to the devices of a port.
#[derive(Debug)]
pub(super) struct Writes {
    queue: mpsc::Receiver<WriteJob>,
    devices: Vec<DeviceConfig>,
    /// Units that are known not to answer.
    silent: BTreeSet<u8>,
}

/// One write, ready to go.
#[derive(Debug)]
struct Plan {
    device: String,
    unit: u8,
    address: Address,
    kind: DataType,
    /// `hr:100 f32 CDAB`.
    place: String,
    point: Point,
    words: Vec<u16>,
    /// Bits of the one register that are meant.
    mask: u16,
}

impl Writes {
    pub(super) fn new(queue: mpsc::Receiver<WriteJob>, devices: &[DeviceConfig]) -> Self {
        Self {
            queue,
            devices: devices.to_vec(),
            silent: BTreeSet::new(),
        }
    }

    /// Takes note of whether a unit is known not to answer.
    pub(super) fn note(&mut self, unit: u8, is_silent: bool) {
        if is_silent {
            self.silent.insert(unit);
        } else {
            self.silent.remove(&unit);
        }
    }

    /// Waits for the next job; for ever when nobody can ask any more.
    pub(super) async fn wait(&mut self) -> WriteJob {
        match self.queue.recv().await {
            Some(job) => job,
            None => std::future::pending().await,
        }
    }

    /// Does the next job, if there is one: not more than one between two requests of the poll.
    pub(super) async fn serve(&mut self, link: &mut Link) {
        if let Ok(job) = self.queue.try_recv() {
            self.handle(job, link).await;
        }
    }

    /// Does one job and tells what came of it.
    pub(super) async fn handle(&self, job: WriteJob, link: &mut Link) {
        let Some(request) = job.request() else {
            return job.end(Err(WriteError::TooLate));
        };
        let result = match self.plan(request) {
            Ok(plan) => {
                // The poll that is under way may be one that does not wait long for its unit.
                let patience = link.be_patient(None);
                let written = plan.write(link).await;
                link.be_patient(patience);
                written
            }
            Err(error) => Err(error),
        };
        let milliseconds = job.begun().elapsed().as_secs_f64() * 1_000.0;
        let result = result.map(|written| Written {
            milliseconds,
            ..written
        });
        match &result {
            Ok(written) => tracing::info!(
                device = written.device,
                place = written.place,
                value = written.written,
                before = written.before,
                "a value was written"
            ),
            Err(error) => tracing::warn!(%error, "a value was not written"),
        }
        job.end(result);
    }

    fn plan(&self, request: &WriteRequest) -> Result<Plan, WriteError> {
        let device = self
            .devices
            .iter()
            .find(|device| device.name == request.device)
            .ok_or_else(|| WriteError::NoDevice {
                device: request.device.clone(),
            })?;
        let unit = device.unit().ok_or_else(|| WriteError::NoDevice {
            device: request.device.clone(),
        })?;
        let (point, spec) = find(device, &request.place)?;
        let place = point.to_string();
        let refused = |words: String| WriteError::Value {
            value: request.value.clone(),
            words,
        };
        released(device, &point, &place)?;
        if self.silent.contains(&unit) {
            return Err(WriteError::Silent {
                device: device.name.clone(),
            });
        }
        let value = match spec {
            Some(spec) if !point.kind.is_text() => {
                in_raw(&request.value, spec, point.kind).map_err(refused)?
            }
            _ => Value::parse(&request.value, point.kind).map_err(|e| refused(e.to_string()))?,
        };
        Plan::new(device.name.clone(), unit, point, &value).map_err(refused)
    }
}

/// Writes one value to a unit that nobody has configured, and reads it back: for a person who stands
/// before the device and says so. Nothing is released here, nothing is scaled.
///
/// # Errors
/// Why not, and whether it may have been written all the same.
pub async fn write_once(
    settings: LinkSettings,
    unit: u8,
    point: &str,
    value: &str,
) -> Result<Written, WriteError> {
    let point = point_of(point)?;
    let device = format!("unit {unit} at {}", settings.place());
    let place = point.to_string();
    if !point.address.table.is_writable() {
        let allowed = "it can only be read: holding registers and coils can be written".to_owned();
        return Err(WriteError::NotAllowed {
            device,
            place,
            allowed,
        });
    }
    let refused = |words: String| WriteError::Value {
        value: value.to_owned(),
        words,
    };
    let wanted = Value::parse(value, point.kind).map_err(|error| refused(error.to_string()))?;
    let plan = Plan::new(device, unit, point, &wanted).map_err(refused)?;
    let begun = Instant::now();
    let written = plan.write(&mut Link::new(settings)).await?;
    Ok(Written {
        milliseconds: begun.elapsed().as_secs_f64() * 1_000.0,
        ..written
    })
}

/// How the place is read, and the sensor when it is one.
fn find<'a>(
    device: &'a DeviceConfig,
    place: &WritePlace,
) -> Result<(Point, Option<&'a SensorSpec>), WriteError> {
    match place {
        WritePlace::Sensor(name) => {
            let groups = device.groups.iter();
            let mut sensors = groups.flat_map(|group| group.spec.sensors.iter().zip(&group.points));
            let found = sensors.find(|(spec, _)| spec.name == *name);
            let (spec, point) = found.ok_or_else(|| WriteError::NoSensor {
                device: device.name.clone(),
                sensor: name.clone(),
            })?;
            Ok((point.clone(), Some(spec)))
        }
        WritePlace::Address(text) => Ok((point_of(text)?, None)),
    }
}

/// An address as people write it.
fn point_of(text: &str) -> Result<Point, WriteError> {
    let spec = PointSpec::parse(text).map_err(|error| WriteError::Address {
        text: text.to_owned(),
        words: error.to_string(),
    })?;
    Ok(Point {
        address: spec.address,
        kind: spec.kind,
        order: spec.order,
        nan: Vec::new(),
    })
}

fn released(device: &DeviceConfig, point: &Point, place: &str) -> Result<(), WriteError> {
    if device
        .write
        .iter()
        .any(|release| release.covers(point.item()))
    {
        return Ok(());
    }
    let list: Vec<String> = device.write.iter().map(Release::to_string).collect();
    let allowed = if !point.address.table.is_writable() {
        "it can only be read: holding registers and coils can be written".to_owned()
    } else if list.is_empty() {
        format!(
            "nothing is: add for example write = [\"{}:{}\"] to the device in the configuration",
            point.address.table.prefix(),
            point.address.offset
        )
    } else {
        format!(
            "released is {}: add it to write of the device in the configuration",
            list.join(", ")
        )
    };
    Err(WriteError::NotAllowed {
        device: device.name.clone(),
        place: place.to_owned(),
        allowed,
    })
}

/// The value of a sensor, written in its unit, as it stands in the device; in words why not.
fn in_raw(text: &str, spec: &SensorSpec, kind: DataType) -> Result<Value, String> {
    let value = Value::parse(text, kind).map_err(|error| error.to_string())?;
    let plain = f64::abs(spec.scale - 1.0) < f64::EPSILON && spec.offset.abs() < f64::EPSILON;
    let Value::Number(raw) = &value else {
        return Ok(value);
    };
    let wanted = protocol::reading::to_f64(*raw, kind.raw_kind());
    let limits = spec.clamp.or(spec.range);
    if let Some((low, high)) = limits.filter(|(low, high)| !(*low..=*high).contains(&wanted)) {
        return Err(format!("the sensor's range is {low} to {high}"));
    }
    if plain {
        return Ok(value);
    }
    let raw = (wanted - spec.offset) / spec.scale;
    if kind.raw_kind() == RawKind::Float {
        return Ok(Value::Number(Raw::Float(raw)));
    }
    let whole = raw.round();
    if (raw - whole).abs() > NEARLY_WHOLE * raw.abs().max(1.0) {
        let near = whole * spec.scale + spec.offset;
        return Err(format!(
            "the device counts in steps of {}; the nearest is {near}",
            spec.scale
        ));
    }
    Ok(Value::Number(Raw::Float(whole)))
}

impl Plan {
    /// In words why the value does not fit there.
    fn new(device: String, unit: u8, point: Point, value: &Value) -> Result<Self, String> {
        let words = encode(value, point.kind, point.order).map_err(|error| error.to_string())?;
        Ok(Self {
            device,
            unit,
            address: point.address,
            kind: point.kind,
            place: point.to_string(),
            words,
            mask: mask(point.kind, point.order),
            point,
        })
    }

    async fn write(self, link: &mut Link) -> Result<Written, WriteError> {
        let before = self.read(link).await;
        let holds = before.as_ref().ok().map(|words| self.shown(words));
        match self.ask(link, &self.request()).await {
            // A device without function 22: the other bits of its register as they were just read.
            Err(RequestError::Exception {
                code: ExceptionCode::IllegalFunction,
                ..
            }) if self.is_part() => {
                let old = match &before {
                    Ok(words) => words.first().copied().unwrap_or_default(),
                    Err(error) => return Err(refused(error)),
                };
                let whole = (old & !self.mask) | (self.word() & self.mask);
                let request = Request::WriteRegister(self.address.offset, whole);
                let asked = self.ask(link, &request).await;
                asked.map_err(|error| self.failed(&error))?;
            }
            asked => asked.map_err(|error| self.failed(&error))?,
        }
        let after = self.read(link).await;
        let after = after.map_err(|error| WriteError::Unknown {
            place: self.place.clone(),
            words: error.words(),
        })?;
        let same = |(is, wanted): (&u16, &u16)| (is ^ wanted) & self.mask == 0;
        let (shown, written) = (self.shown(&after), self.shown(&self.words));
        if !after.iter().zip(&self.words).all(same) {
            return Err(WriteError::NotKept {
                place: self.place,
                written,
                after: shown,
            });
        }
        Ok(Written {
            device: self.device,
            place: self.place,
            before: holds,
            written,
            after: shown,
            milliseconds: 0.0,
        })
    }

    /// Whether it is a part of a register.
    const fn is_part(&self) -> bool {
        self.mask != u16::MAX && !self.address.table.is_bits()
    }

    fn word(&self) -> u16 {
        self.words.first().copied().unwrap_or_default()
    }

    fn request(&self) -> Request {
        let offset = self.address.offset;
        match self.words.as_slice() {
            [word] if self.address.table.is_bits() => Request::WriteCoil(offset, *word != 0),
            [word] if self.is_part() => Request::MaskWriteRegister {
                address: offset,
                and_mask: !self.mask,
                or_mask: word & self.mask,
            },
            [word] => Request::WriteRegister(offset, *word),
            words => Request::WriteRegisters(offset, words.to_vec()),
        }
    }

    async fn ask(&self, link: &mut Link, request: &Request) -> Result<(), RequestError> {
        link.ask(self.unit, request).await.map(drop)
    }

    async fn read(&self, link: &mut Link) -> Result<Vec<u16>, RequestError> {
        let Item { address, count } = self.point.item();
        let block = Block {
            table: address.table,
            start: address.offset,
            count,
            items: vec![0],
        };
        link.read(self.unit, &block, 0).await
    }

    fn shown(&self, words: &[u16]) -> String {
        match decode(words, self.kind, self.point.order) {
            Ok(Value::Text(text)) => text,
            Ok(Value::Number(Raw::Float(value))) => value.to_string(),
            Ok(Value::Number(Raw::Int(value))) if self.kind.raw_kind() == RawKind::Uint64 => {
                value.cast_unsigned().to_string()
            }
            Ok(Value::Number(Raw::Int(value))) => value.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// What a write without its answer means.
    fn failed(&self, error: &RequestError) -> WriteError {
        match error {
            RequestError::Exception { .. } | RequestError::NoConnection { .. } => refused(error),
            _ => WriteError::Unknown {
                place: self.place.clone(),
                words: error.words(),
            },
        }
    }
}

fn refused(error: &RequestError) -> WriteError {
    WriteError::Refused {
        words: error.words(),
    }
}
