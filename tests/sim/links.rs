//! Connections as they come and go: attempts, cuts, silence, each side noticing in its own time.
//! Never looks at what the sessions say to each other: `sessions` does.

use crate::network::{Wake, Way};
use crate::plan::n;
use crate::sessions::Connection;
use crate::world::{Happening, MINUTE, SECOND, World};

/// How soon an end notices that a connection is dead.
const NOTICE_US: i64 = 30 * SECOND;
/// Longest wait between two attempts.
const ATTEMPT_US_MAX: i64 = 5 * MINUTE;

impl World {
    pub(crate) fn connect(&mut self, at: usize, life: u32) {
        let node = &self.boxes[at];
        if node.life != life || !node.up || node.connection.is_some() {
            return;
        }
        if node.cut_off || !self.hub.up {
            self.come_again(at, None);
            return;
        }
        self.counts.connects += 1;
        self.next_connection += 1;
        let id = self.next_connection;
        self.boxes[at].connection = Some(id);
        self.note("box {}: connection {}", [n(at), id.into(), 0, 0]);
        let mut connection = self.open(at);
        self.edge_acts(id, &mut connection);
        self.hub_acts(id, &mut connection);
        self.connections.insert(id, connection);
    }

    /// The next attempt, with a wait that grows and is random.
    pub(crate) fn come_again(&mut self, at: usize, wait: Option<i64>) {
        let node = &mut self.boxes[at];
        node.attempts = (node.attempts + 1).min(9);
        let longest = (SECOND << node.attempts).min(ATTEMPT_US_MAX);
        let wait = wait.unwrap_or_else(|| self.random.between(SECOND / 2, longest));
        let life = self.boxes[at].life;
        self.after(wait, Happening::Connect { at, life });
    }

    pub(crate) fn wake(&mut self, id: u32, wake: Wake) {
        let Some(mut connection) = self.connections.remove(&id) else {
            return;
        };
        match wake {
            Wake::Pump(way) => self.pump(id, &mut connection, way),
            Wake::Arrival(way, lane) => match connection.network.arrive(way, lane, self.now) {
                Ok(bytes) if way == Way::Up => self.hub_hears(id, &mut connection, lane, &bytes),
                Ok(bytes) => self.edge_hears(id, &mut connection, lane, &bytes),
                Err(at) => self.at(
                    at,
                    Happening::Wake {
                        connection: id,
                        wake,
                    },
                ),
            },
        }
        self.keep(id, connection);
    }

    /// Lets the network take what an end has to say.
    pub(crate) fn pump(&mut self, id: u32, connection: &mut Connection, way: Way) {
        let wakes = connection.network.pump(way, self.now, &mut self.random);
        for (at, wake) in wakes {
            self.at(
                at,
                Happening::Wake {
                    connection: id,
                    wake,
                },
            );
        }
    }

    /// A connection that still has an end is kept.
    pub(crate) fn keep(&mut self, id: u32, connection: Box<Connection>) {
        if connection.edge.is_some() || connection.hub.is_some() {
            self.connections.insert(id, connection);
        }
    }

    /// The box's end is over: for an error, or because it noticed that the other one is gone.
    pub(crate) fn edge_leaves(&mut self, id: u32) {
        if let Some(mut connection) = self.connections.remove(&id) {
            if connection.edge.is_some() {
                self.edge_ends(id, &mut connection, None);
            }
            self.keep(id, connection);
        }
    }

    pub(crate) fn edge_ends(&mut self, id: u32, connection: &mut Connection, wait: Option<i64>) {
        connection.edge = None;
        self.note("connection {}: the box's end is over", [id.into(), 0, 0, 0]);
        self.die(id, connection);
        let at = connection.at;
        if self.boxes[at].connection == Some(id) {
            self.boxes[at].connection = None;
            if self.boxes[at].up {
                self.come_again(at, wait);
            }
        }
    }

    pub(crate) fn hub_leaves(&mut self, id: u32) {
        if let Some(mut connection) = self.connections.remove(&id) {
            if connection.hub.take().is_some() {
                self.note("connection {}: the hub's end is over", [id.into(), 0, 0, 0]);
                self.die(id, &mut connection);
            }
            self.keep(id, connection);
        }
    }

    /// The network between the ends is gone; each notices in its own time.
    fn die(&mut self, id: u32, connection: &mut Connection) {
        if connection.network.is_cut() {
            return;
        }
        connection.network.cut(&mut self.random);
        let wait = self.random.spread(10_000, NOTICE_US);
        self.after(wait, Happening::EdgeNotices { connection: id });
        // A hub may serve a dead connection long after the box is back on a new one.
        let longest = self.random.pick(&[SECOND, NOTICE_US, 10 * MINUTE]);
        let wait = self.random.between(10_000, longest);
        self.after(wait, Happening::HubNotices { connection: id });
    }

    pub(crate) fn cut(&mut self, at: usize) -> bool {
        let Some(id) = self.boxes[at].connection else {
            return false;
        };
        let Some(mut connection) = self.connections.remove(&id) else {
            return false;
        };
        self.note("connection {}: cut", [id.into(), 0, 0, 0]);
        self.die(id, &mut connection);
        self.keep(id, connection);
        true
    }

    pub(crate) fn stall(&mut self, at: usize) -> bool {
        let until = self.now + self.random.spread(SECOND, 10 * MINUTE);
        let Some(id) = self.boxes[at].connection else {
            return false;
        };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.network.stall(until);
        }
        let node = &mut self.boxes[at];
        node.good_since = node.good_since.max(until);
        self.note(
            "connection {}: nothing arrives for {} s",
            [
                id.into(),
                ((until - self.now) / SECOND).unsigned_abs(),
                0,
                0,
            ],
        );
        true
    }

    /// The hub's end of the connection does nothing any more, but the transport stands.
    pub(crate) fn hang(&mut self, at: usize) -> bool {
        let Some(id) = self.boxes[at].connection else {
            return false;
        };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.hangs = true;
        }
        self.note("connection {}: the hub's end hangs", [id.into(), 0, 0, 0]);
        true
    }

    /// The box is gone, with its end of its connection.
    pub(crate) fn box_hangs_up(&mut self, at: usize) {
        if let Some(id) = self.boxes[at].connection {
            self.edge_leaves(id);
        }
        self.boxes[at].connection = None;
        self.boxes[at].attempts = 0;
    }

    /// The hub is gone, with all its ends.
    pub(crate) fn hub_hangs_up(&mut self) {
        let ids: Vec<u32> = self.connections.keys().copied().collect();
        for id in ids {
            self.hub_leaves(id);
        }
    }
}
