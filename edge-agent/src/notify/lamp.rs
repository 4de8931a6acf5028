//! A lamp, horn or relay on a coil of a configured Modbus device: on while an alert waits for
//! somebody. Writes only what the configuration of that device releases (`write = […]`), through the
//! port's own task. Never reads the coil.

use super::matter::{Message, Outcome};
use super::plan::OffWhen;
use super::seat::{Channel, Order, Seat, Task};
use crate::config::Section;
use crate::drivers::{PortHandles, WritePlace, WriteRequest};
use std::time::Duration;

/// A write that failed is tried again after this.
const RETRY: Duration = Duration::from_secs(5);
/// While it is to be on, that is written again in this time: a controller that was switched off
/// meanwhile has forgotten it.
const AGAIN: Duration = Duration::from_secs(60);
/// How long a test is on.
const TEST: Duration = Duration::from_secs(2);

/// `kind = "lamp"`
#[derive(Clone, Debug)]
pub(super) struct Lamp {
    device: String,
    place: WritePlace,
    on: String,
    off: String,
    ports: PortHandles,
}

/// Reads its keys.
pub(super) fn read(section: &mut Section, ports: PortHandles) -> Option<(Lamp, OffWhen)> {
    let device = section.required_text("device");
    let sensor = section.text("sensor");
    let address = section.text("address");
    let place = match (sensor, address) {
        (Some(sensor), None) => Some(WritePlace::Sensor(sensor)),
        (None, Some(address)) => Some(WritePlace::Address(address)),
        (Some(_), Some(_)) => {
            section.problem("address", "stands beside sensor; one of the two is enough");
            None
        }
        (None, None) => {
            section.missing("address", "address = \"co:16\"");
            None
        }
    };
    let on = section.text("on").unwrap_or_else(|| "on".to_owned());
    let off = section.text("off").unwrap_or_else(|| "off".to_owned());
    let choices = [
        ("acknowledged", OffWhen::Acknowledged),
        ("cleared", OffWhen::Cleared),
    ];
    let when = section
        .choice("off_when", &choices)
        .unwrap_or(OffWhen::Acknowledged);
    let lamp = Lamp {
        device: device?,
        place: place?,
        on,
        off,
        ports,
    };
    Some((lamp, when))
}

impl Channel for Lamp {
    fn run(self: Box<Self>, seat: Seat) -> Task<'static> {
        Box::pin(serve(*self, seat))
    }
}

async fn serve(lamp: Lamp, mut seat: Seat) {
    let mut wanted = None;
    let mut wait = None;
    loop {
        let order = match wait {
            None => seat.next().await,
            Some(wait) => match tokio::time::timeout(wait, seat.next()).await {
                Ok(order) => order,
                Err(_) => Some(Order::Lamp(wanted.unwrap_or(false))),
            },
        };
        match order {
            None => return,
            Some(Order::Lamp(on)) => {
                wanted = Some(on);
                wait = match lamp.set(on, &seat).await {
                    Ok(()) => on.then_some(AGAIN),
                    Err(_) => Some(RETRY),
                };
            }
            Some(Order::Send(message, waits)) => {
                let outcome = lamp.test(&message, wanted.unwrap_or(false), &seat).await;
                seat.ended(message, outcome, waits).await;
            }
        }
    }
}

impl Lamp {
    async fn set(&self, on: bool, seat: &Seat) -> Result<(), String> {
        let value = if on { &self.on } else { &self.off };
        let request = WriteRequest {
            device: self.device.clone(),
            place: self.place.clone(),
            value: value.clone(),
        };
        let written = tokio::time::timeout(seat.timeout, self.ports.write(request)).await;
        let result = match written {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the port did not come to it in time".to_owned()),
        };
        match &result {
            Ok(()) => seat.set_words(if on { "on" } else { "off" }, false),
            Err(words) => seat.set_words(words, true),
        }
        result
    }

    /// On for a moment, then as it has to be.
    async fn test(&self, _: &Message, wanted: bool, seat: &Seat) -> Outcome {
        if let Err(words) = self.set(true, seat).await {
            return Outcome::Refused(words);
        }
        tokio::time::sleep(TEST).await;
        match self.set(wanted, seat).await {
            Ok(()) => Outcome::Delivered("it was on for 2 s".to_owned()),
            Err(words) => Outcome::Refused(format!("it was on; then: {words}")),
        }
    }
}
