//! A dense sequence of events with the chain over it, as both sides keep them.

use protocol::event::Event;
use protocol::wire::v1::Chain;
use protocol::wire::{chain, encode_event};
use std::rc::Rc;

/// Event `n` stands at place `n - 1`, with the chain up to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Vec<(Rc<Event>, Chain)>);

impl Log {
    pub(crate) fn push(&mut self, event: &Rc<Event>) {
        let bytes = encode_event(event).unwrap();
        let chain = chain(&self.chain_at(self.last()).unwrap(), &bytes);
        self.0.push((Rc::clone(event), chain));
    }

    pub(crate) fn last(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap()
    }

    /// The chain up to a number; `None` when it is not held.
    pub(crate) fn chain_at(&self, seq: u64) -> Option<Chain> {
        match usize::try_from(seq).unwrap().checked_sub(1) {
            None => Some(Chain::default()),
            Some(at) => self.0.get(at).map(|(_, chain)| *chain),
        }
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = &Rc<Event>> {
        self.0.iter().map(|(event, _)| event)
    }

    /// Up to `most` events after a number, as they are sent.
    pub(crate) fn after(&self, seq: u64, most: usize) -> Vec<(u64, Vec<u8>)> {
        let events = self.events().skip(usize::try_from(seq).unwrap()).take(most);
        (seq + 1..)
            .zip(events.map(|event| encode_event(event).unwrap()))
            .collect()
    }
}
