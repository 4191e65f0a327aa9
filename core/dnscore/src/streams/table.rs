//! The table of connections: by number, by age, by client.
//!
//! A number is `kind << 60 | serial << 36 | index << 16 | tag`: the index finds a connection at once, the serial number
//! tells it from the one that had its place before, and the tag is the connection's own, to tell its messages apart. The connections are
//! in one list by when they were last active, so that finding the one that has been idle longest costs nothing while there
//! is an idle one.

use std::collections::HashMap;
use std::net::IpAddr;

use super::connection::Connection;
use super::doors::Kind;
use crate::tap::Transport;

/// Bits of the tag.
pub(super) const TAG_BITS: u32 = 16;
const INDEX_BITS: u32 = 20;
/// Serial numbers begin again after 2^24 connections, when no answer to one of before is in flight any more. The bits
/// above are those of [`super::CONNECTION`] once the tag is shifted out, and of messages that no connection brought.
const SERIALS: u64 = 1 << 24;
const KIND_AT: u32 = 60;
const NONE: u32 = u32::MAX;
const _: () = assert!(Kind::ALL.len() <= 4, "a number has two bits for the kind");

/// How the messages of that connection come and go.
#[inline]
pub(super) fn transport(number: u64) -> Transport {
    match Kind::ALL[(number >> KIND_AT & 3) as usize] {
        Kind::Tcp => Transport::Tcp,
        Kind::Tls => Transport::Tls,
        Kind::Https => Transport::Https,
    }
}

/// A place and its neighbours in the list.
struct Place {
    connection: Option<Box<Connection>>,
    older: u32,
    newer: u32,
}

/// See the module.
pub(super) struct Table {
    places: Vec<Place>,
    free: Vec<u32>,
    count: usize,
    serial: u64,
    oldest: u32,
    newest: u32,
    clients: HashMap<IpAddr, usize>,
}

impl Default for Table {
    fn default() -> Table {
        Table {
            places: Vec::new(),
            free: Vec::new(),
            count: 0,
            serial: 0,
            oldest: NONE,
            newest: NONE,
            clients: HashMap::new(),
        }
    }
}

impl Table {
    pub fn connected(&self) -> usize {
        self.count
    }

    pub fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.places.iter().filter_map(|place| place.connection.as_deref())
    }

    pub fn indices(&self) -> std::ops::Range<u32> {
        0..self.places.len() as u32
    }

    /// Connections of that address.
    pub fn of_client(&self, client: IpAddr) -> usize {
        self.clients.get(&client).copied().unwrap_or_default()
    }

    /// The index of that number's connection, if it is still there; whatever the tag.
    #[inline]
    pub fn find(&self, number: u64) -> Option<u32> {
        let index = (number >> TAG_BITS) as u32 & ((1 << INDEX_BITS) - 1);
        let connection = self.places.get(index as usize)?.connection.as_deref()?;
        (connection.number >> TAG_BITS == number >> TAG_BITS).then_some(index)
    }

    #[inline]
    pub fn get_mut(&mut self, index: u32) -> Option<&mut Connection> {
        self.places.get_mut(index as usize)?.connection.as_deref_mut()
    }

    /// A new connection, made of its number. `None`: no number is left.
    pub fn insert(&mut self, kind: Kind, make: impl FnOnce(u64) -> Connection) -> Option<u32> {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { connection: None, older: NONE, newer: NONE });
            (self.places.len() - 1) as u32
        });
        if index >= 1 << INDEX_BITS {
            return None;
        }
        self.serial = (self.serial + 1) % SERIALS;
        let number = (kind as u64) << KIND_AT | self.serial << (INDEX_BITS + TAG_BITS) | u64::from(index) << TAG_BITS;
        self.places[index as usize].connection = Some(Box::new(make(number)));
        self.count += 1;
        self.append(index);
        self.count_client(index);
        Some(index)
    }

    /// Counts it for its client, once that is known.
    pub fn count_client(&mut self, index: u32) {
        if let Some(connection) = self.get_mut(index)
            && connection.is_introduced()
            && !std::mem::replace(&mut connection.is_counted, true)
        {
            let client = connection.ends.source.ip();
            *self.clients.entry(client).or_default() += 1;
        }
    }

    /// It has done something useful: it is the one that was active last.
    #[inline]
    pub fn active(&mut self, index: u32, now: u64) {
        if let Some(connection) = self.get_mut(index) {
            connection.active = now;
            if self.newest != index {
                self.unlink(index);
                self.append(index);
            }
        }
    }

    /// Closes the one that has been idle longest. False: none is idle.
    pub fn remove_idle(&mut self) -> bool {
        let mut at = self.oldest;
        while let Some(Place { connection: Some(connection), newer, .. }) = self.places.get(at as usize) {
            if connection.in_flight == 0 {
                self.remove(at);
                return true;
            }
            at = *newer;
        }
        false
    }

    /// Closes that one.
    pub fn remove(&mut self, index: u32) {
        let Some(connection) = self.places.get_mut(index as usize).and_then(|place| place.connection.take()) else {
            return;
        };
        self.unlink(index);
        self.free.push(index);
        self.count -= 1;
        let client = connection.ends.source.ip();
        if connection.is_counted
            && let Some(count) = self.clients.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                self.clients.remove(&client);
            }
        }
    }

    fn append(&mut self, index: u32) {
        let newest = std::mem::replace(&mut self.newest, index);
        match self.places.get_mut(newest as usize) {
            Some(place) => place.newer = index,
            None => self.oldest = index,
        }
        let place = &mut self.places[index as usize];
        (place.older, place.newer) = (newest, NONE);
    }

    fn unlink(&mut self, index: u32) {
        let Place { older, newer, .. } = self.places[index as usize];
        match self.places.get_mut(older as usize) {
            Some(place) => place.newer = newer,
            None => self.oldest = newer,
        }
        match self.places.get_mut(newer as usize) {
            Some(place) => place.older = older,
            None => self.newest = older,
        }
    }
}
